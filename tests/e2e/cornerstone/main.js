// A small Cornerstone3D viewer: ?root=…&study=…&series=…&instance=… shows frame 1 of an instance, and with
// &planes=1 the whole series in three orthogonal planes. &module=URL is the browser module to install first.
import * as cornerstone from '@cornerstonejs/core';
import * as loader from '@cornerstonejs/dicom-image-loader';

const query = new URLSearchParams(window.location.search);
const series = `${query.get('root')}/studies/${query.get('study')}/series/${query.get('series')}`;
const { STACK, ORTHOGRAPHIC } = cornerstone.Enums.ViewportType;

await cornerstone.init();
loader.init({ maxWebWorkers: 1 });
if (query.get('module')) {
  const { install } = await import(/* @vite-ignore */ query.get('module'));
  install(cornerstone, { metadata: (imageId) => loader.wadors.metaDataManager.get(imageId) });
}
const engine = new cornerstone.RenderingEngine('engine');
window.cornerstone = cornerstone;
await (query.get('planes') ? showPlanes() : showFrame());

async function showFrame() {
  const instance = `${series}/instances/${query.get('instance')}`;
  const [metadata] = await (await fetch(`${instance}/metadata`)).json();
  const imageId = `wadors:${instance}/frames/1`;
  loader.wadors.metaDataManager.add(imageId, metadata);
  enable('viewport', STACK);
  await engine.getViewport('viewport').setStack([imageId]);
  engine.getViewport('viewport').render();
}

async function showPlanes() {
  const list = await (await fetch(`${series}/metadata`)).json();
  const imageIds = list.map((metadata) => {
    const imageId = `wadors:${series}/instances/${metadata['00080018'].Value[0]}/frames/1`;
    loader.wadors.metaDataManager.add(imageId, metadata);
    return imageId;
  });
  const volumeId = 'cornerstoneStreamingImageVolume:series';
  const volume = await cornerstone.volumeLoader.createAndCacheVolume(volumeId, { imageIds });
  const planes = ['axial', 'sagittal', 'coronal'];
  for (const plane of planes) enable(plane, ORTHOGRAPHIC, plane);
  volume.load();
  await cornerstone.setVolumesForViewports(engine, [{ volumeId }], planes);
  engine.render();
}

function enable(viewportId, type, orientation) {
  const element = document.createElement('div');
  document.body.append(element);
  engine.enableElement({ viewportId, element, type, defaultOptions: orientation ? { orientation } : {} });
}
