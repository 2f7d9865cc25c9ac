// A Cornerstone3D page that loads a frame, or with &planes=1 a series as a volume, in one of several ways: ?way=….
// `window.prepared` is a promise; `window.measure()` then loads and answers what was seen when, in milliseconds.
import * as cornerstone from '@cornerstonejs/core';
import * as loader from '@cornerstonejs/dicom-image-loader';
import { ways } from './ways.js';

const query = new URLSearchParams(window.location.search);
const series = `${query.get('root')}/studies/${query.get('study')}/series/${query.get('series')}`;
const metadata = (imageId) => loader.wadors.metaDataManager.get(imageId);
const { Events, ViewportType } = cornerstone.Enums;
const { eventTarget } = cornerstone;
const VOLUME = 'cornerstoneStreamingImageVolume:series';
const PLANES = ['axial', 'sagittal', 'coronal'];
const FULL = 8;
const ADJACENT = 3; // a picture that the slice beside it lent
let warmImageId;

window.cornerstone = cornerstone;
window.prepared = prepare();

async function prepare() {
  await cornerstone.init();
  loader.init({ maxWebWorkers: 2 });
  await warmUp();
  if (query.get('way') === 'ours') {
    const { install } = await import(/* @vite-ignore */ new URL('stillframe.js', window.location.href).href);
    install(cornerstone, { metadata });
  } else {
    await ways[query.get('way')](cornerstone, { series });
  }
  const imageIds = (await readJson(`${series}/metadata`)).map((instance) => {
    const imageId = `wadors:${series}/instances/${instance['00080018'].Value[0]}/frames/1`;
    loader.wadors.metaDataManager.add(imageId, instance);
    return imageId;
  });
  cornerstone.metaData.get('imagePlaneModule', imageIds[0]); // as OHIF does: the module then reads the frame-index
  const engine = new cornerstone.RenderingEngine('engine');
  const planes = query.has('planes') ? PLANES : ['stack'];
  for (const name of planes) enable(engine, name, query.has('planes'));
  if (!query.has('planes')) await drawOnce(engine.getViewport('stack'));
  window.measure = query.has('planes') ? () => measureVolume(engine, imageIds) : () => measureStack(engine, imageIds[0]);
}

function enable(engine, viewportId, isPlane) {
  const element = document.createElement('div');
  document.body.append(element);
  const defaultOptions = isPlane ? { orientation: viewportId } : {};
  engine.enableElement({ viewportId, element, type: isPlane ? ViewportType.ORTHOGRAPHIC : ViewportType.STACK, defaultOptions });
}

/** Workers and decoder are there before the clock runs: a frame of another study is decoded first. */
async function warmUp() {
  const instance = `${query.get('root')}/${query.get('warm')}`;
  const imageId = `wadors:${instance}/frames/1`;
  loader.wadors.metaDataManager.add(imageId, (await readJson(`${instance}/metadata`))[0]);
  const options = { ignoreCache: true, retrieveOptions: {} };
  await Promise.all([1, 2].map(() => cornerstone.imageLoader.loadImage(imageId, options)));
  warmImageId = imageId;
}

/** So are the shaders of the viewport, which is as in a viewer that is open. */
async function drawOnce(viewport) {
  const drawn = new Promise((resolve) => viewport.element.addEventListener(Events.IMAGE_RENDERED, resolve, { once: true }));
  await viewport.setStack([warmImageId]);
  viewport.render();
  await drawn;
}

async function readJson(url) {
  return (await fetch(url)).json();
}

async function measureStack(engine, imageId) {
  const viewport = engine.getViewport('stack');
  const seen = [];
  let image;
  let failure;
  viewport.element.addEventListener(Events.STACK_NEW_IMAGE, ({ detail }) => (image = detail.image));
  viewport.element.addEventListener(Events.IMAGE_RENDERED, () => {
    if (!image || seen.at(-1)?.image === image) return;
    const width = image.imageFrame.imageInfo?.columns ?? image.imageFrame.columns;
    seen.push({ image, ms: performance.now() - start, quality: image.imageQualityStatus, width });
  });
  eventTarget.addEventListener(Events.IMAGE_LOAD_ERROR, ({ detail }) => (failure = String(detail.error?.message ?? detail.error)));
  const start = performance.now();
  viewport.setStack([imageId]);
  await until(() => failure || seen.at(-1)?.quality === FULL);
  const [arrived] = arrivals(start); // the first request's last byte
  return { failure, arrived, seen: seen.map(({ image: _, ...rest }) => rest) };
}

/** When the requests for frames ended, in the order in which they began. */
function arrivals(start) {
  const entries = performance.getEntriesByType('resource').filter(({ name, startTime }) => /\/frames\/\d+$/.test(name) && startTime >= start);
  return entries.toSorted((one, other) => one.startTime - other.startTime).map(({ responseEnd }) => responseEnd - start);
}

/** A volume is visible when every slice has a picture, its own or of the slice beside it; whole at full quality. */
async function measureVolume(engine, imageIds) {
  performance.setResourceTimingBufferSize(2000);
  const start = performance.now();
  const volume = await cornerstone.volumeLoader.createAndCacheVolume(VOLUME, { imageIds });
  const qualities = new Map();
  let [failures, drawn] = [0, 0];
  for (const name of PLANES) engine.getViewport(name).element.addEventListener(Events.IMAGE_RENDERED, () => (drawn += 1));
  eventTarget.addEventListener(Events.IMAGE_LOAD_ERROR, () => (failures += 1));
  const { updateTextureAndTriggerEvents: update } = volume;
  volume.updateTextureAndTriggerEvents = function (index, imageId, quality = FULL) {
    qualities.set(imageId, Math.max(qualities.get(imageId) ?? 0, quality));
    return update.call(this, index, imageId, quality);
  };
  volume.load();
  await cornerstone.setVolumesForViewports(engine, [{ volumeId: VOLUME }], PLANES);
  engine.render();
  const isSeen = (quality) => quality >= ADJACENT;
  await until(() => [...qualities.values()].filter(isSeen).length === imageIds.length);
  const visible = performance.now() - start;
  window.visible?.();
  await until(() => [...qualities.values()].filter((quality) => quality === FULL).length + failures >= imageIds.length);
  const whole = performance.now() - start;
  return { failures, drawn, visible, whole, arrived: Math.max(...arrivals(start)) };
}

async function until(isTrue) {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5));
}
