// Frames and a volume opened in OHIF, again and again, on hosts of every kind: what stays blank, what comes twice.
import { cpSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { startEdge, startFaulty, startNginx } from './bench-hosts.mjs';
import { watchFrames } from './bench-traffic.mjs';
import { BIN, run } from './hosts.mjs';
import { startSlowLine } from './slow-line.mjs';

export const FULL = 8; // Cornerstone's ImageQualityStatus
const TIMEOUT_MS = 120_000;
const LIMIT_MS = 180_000; // what has not come to full quality by then is blank,
const QUIET_MS = { ours: 15_000, ohif: 4000 }; // and what for so long asks for nothing, decodes nothing and gets no better
const FIRST_MS = 12_000; // for the first picture of a page, which in OHIF's own way may never come

/** By their names, functions that start a host and answer its origin. `tree` has a site beside it, of `dist`. */
export function hostsOf({ tree, sources, dist, work, stops }) {
  const behind = (options) => async () => startFaulty(await startNginx({ tree, work, stops }), { ...options, stops });
  return {
    'nginx, HTTP/1.1': () => startNginx({ tree, work, stops }),
    'nginx, HTTP/2': () => startNginx({ tree, work, stops, isHttp2: true }),
    'CloudFront, HTTP/2': () => startEdge({ sources, dist, work, stops }),
    'answers 200 to ranges': behind({ ignoresRanges: true }),
    'loses every tenth connection': behind({ loses: 10 }),
    'answers after 1.5 s': behind({ delays: 1500 }),
  };
}

/** A copy of an archive with its site. */
export function makeSite({ tree, dist, work }) {
  mkdirSync(work);
  const copy = path.join(work, 'tree');
  cpSync(tree, copy, { recursive: true });
  run(path.join(BIN, 'stillframe'), ['site', copy, '--viewer', dist]);
  return copy;
}

/** OHIF as it is, without the module and with its own setting for stacks. */
function withoutModule() {
  let configuration;
  Object.defineProperty(window, 'config', {
    get: () => configuration,
    set(value) {
      value.extensions = [];
      delete value.dataSources[0].configuration.stackRetrieveOptions;
      configuration = value;
    },
  });
}

/** In the page: what viewports show, from the first picture on. */
function watchPictures() {
  window.seen = [];
  let image;
  document.addEventListener('CORNERSTONE_STACK_NEW_IMAGE', ({ detail }) => (image = detail.image), true);
  document.addEventListener('CORNERSTONE_IMAGE_RENDERED', () => {
    if (!image || window.seen.at(-1)?.image === image) return;
    const width = image.imageFrame?.imageInfo?.columns ?? image.width;
    window.seen.push({ image, at: performance.timeOrigin + performance.now(), quality: image.imageQualityStatus, width });
    if (window.seen.length === 1) window.pictured?.();
  }, true);
}

/** A page of a browser with studies in OHIF. */
export async function openOhif(browser, origin, studies, { isOff, isCached = true, more = {} }) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  const traffic = await watchFrames(page, { isCached });
  let first;
  await page.exposeFunction('pictured', () => (first ??= { requests: traffic.all().length, bytes: traffic.bytes() }));
  await page.addInitScript(watchPictures);
  if (isOff) await page.addInitScript(withoutModule);
  const query = [...studies.map((study) => ['StudyInstanceUIDs', study]), ...Object.entries(more)];
  await page.goto(`${origin}/viewer?${new URLSearchParams(query)}`);
  return { page, traffic, first: () => first, close: () => context.close() };
}

/**
 * Opens each of `frames` so many times in one page, and one volume in three planes, if there is one. Answers, for each
 * frame and then the volume, how many stayed blank and how many came twice.
 */
export async function openAll(browser, origin, { frames, volume, line: speed, openings, isOff, picture }) {
  const line = await startSlowLine(origin, speed);
  const found = [];
  try {
    const at = line.origin.replace('http:', new URL(origin).protocol);
    const viewer = await openOhif(browser, at, frames.map(({ study }) => study), { isOff, isCached: false });
    await viewer.page.waitForFunction(hasStudies, frames.length);
    // OHIF's own way may leave the first frame blank, which is counted when it is opened.
    await viewer.page.waitForFunction(() => window.seen.length > 0, null, { timeout: FIRST_MS }).catch(() => {});
    await isQuiet(viewer, 1000);
    for (const { study } of frames) found.push(await openAgain(viewer, study, { openings, isOff }));
    await viewer.close();
    if (volume) found.push(await openVolume(browser, at, volume.study, { isOff, picture }));
  } finally {
    await line.close();
  }
  return found;
}

/** In the page: OHIF has all studies. */
function hasStudies(count) {
  return (window.services?.displaySetService.getActiveDisplaySets() ?? []).length >= count;
}

async function openAgain({ page, traffic }, study, { openings, isOff }) {
  let [blank, twice] = [0, 0];
  for (let opening = 0; opening < openings; opening++) {
    traffic.clear();
    await page.evaluate(openOnce, study);
    const quality = await settle(page, traffic, () => [window.seen.at(-1)?.quality, window.seen.length], isOff);
    if (quality !== FULL) blank += 1;
    twice += countTwice(traffic);
    await isQuiet({ page, traffic }, 10); // what is still going on belongs to no other opening
  }
  return { blank, twice, openings };
}

/** In the page: a study's stack once more, as if it had never been there. */
function openOnce(study) {
  const { cache, getRenderingEngines } = window.cornerstone;
  const [viewport] = getRenderingEngines()[0].getViewports();
  const [set] = window.services.displaySetService.getDisplaySetsBy((one) => one.StudyInstanceUID === study);
  cache.purgeCache();
  window.seen.length = 0;
  viewport.setStack([set.instances[0].imageId]).catch(() => {}); // what fails stays blank
}

/** A volume in three planes, by OHIF's own protocol for them: one blank slice counts. */
async function openVolume(browser, origin, study, { isOff, picture }) {
  const more = { hangingProtocolId: 'mpr' };
  const { page, traffic, close } = await openOhif(browser, origin, [study], { isOff, isCached: false, more });
  await page.waitForFunction(() => window.cornerstone?.cache?.getVolumes().length);
  const worst = await settle(page, traffic, worstQuality, isOff);
  if (picture) await page.waitForTimeout(1000).then(() => page.screenshot({ path: picture }));
  await close();
  return { blank: worst === FULL ? 0 : 1, twice: countTwice(traffic), openings: 1 };
}

/** How many frames came in more bytes than they have. */
function countTwice(traffic) {
  const frames = new Map();
  for (const { url, bytes, size = 0 } of traffic.all().filter((one) => !one.url.includes('/reduced/'))) {
    const frame = frames.get(url) ?? { bytes: 0, size: 0 };
    frames.set(url, { bytes: frame.bytes + bytes, size: Math.max(frame.size, size) });
  }
  return [...frames.values()].filter(({ bytes, size }) => bytes > size).length;
}

/** In the page: the quality of the slice that is worst, and how far all are. */
function worstQuality() {
  const { cache } = window.cornerstone;
  const all = cache.getVolumes().flatMap(({ imageIds }) => imageIds.map((id) => cache.getImageQuality(id) ?? 0));
  return [Math.min(...all), all.reduce((sum, one) => sum + one, 0)];
}

/** The quality that a page comes to: full, or whatever it is when nothing goes on. */
async function settle(page, traffic, look, isOff) {
  let [quality, progress] = [];
  let changed = Date.now();
  for (const end = Date.now() + LIMIT_MS; Date.now() < end; await page.waitForTimeout(50)) {
    const before = progress;
    [quality, progress] = await page.evaluate(look);
    if (progress !== before || (await page.evaluate(isDecoding))) changed = Date.now();
    if (quality === FULL || Math.min(traffic.quietMs(), Date.now() - changed) > QUIET_MS[isOff ? 'ohif' : 'ours']) break;
  }
  await page.waitForTimeout(100); // the last events of its traffic
  return quality;
}

/** In the page: Cornerstone's workers have something to do. */
function isDecoding() {
  const { workerRegistry } = window.cornerstone.getWebWorkerManager();
  return Object.values(workerRegistry).some(({ loadCounters }) => loadCounters.some((count) => count > 0));
}

async function isQuiet({ page, traffic }, ms) {
  const isBusy = async () => traffic.quietMs() < ms || (await page.evaluate(isDecoding));
  for (const end = Date.now() + LIMIT_MS; Date.now() < end && (await isBusy()); await page.waitForTimeout(100));
}
