// The same frames and the same volume through viewers' own ways, exact ranges, the reduced variant and whole frames, side
// by side: `make bench-viewers`. Prints tables of medians as Markdown.
//   BENCH_SAMPLES=/folder of samples, kept and used again; WAYS, FRAMES, LINES=1, PROTOCOLS, HOST choose; RUNS=5 how often, SLICES=174 of the volume, OPENINGS=20 of a frame on each host, PARTS="frames volume ohif openings"
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { startFaulty, startNginx } from './bench-hosts.mjs';
import { watchFrames } from './bench-traffic.mjs';
import { BIN, run, servePages } from './hosts.mjs';
import { startSlowLine } from './slow-line.mjs';
import { FLAGS, findChromium, installOhif } from './viewers.mjs';

const HERE = import.meta.dirname;
const RUNS = Number(process.env.RUNS || 5);
const OPENINGS = Number(process.env.OPENINGS || 20);
const PARTS = (process.env.PARTS || 'frames volume ohif openings').split(' ');
const VIEWERS = (process.env.VIEWERS || 'ohif-3.13.2 ohif-3.14.0-beta.6').split(' ');
const MODULE = path.join(HERE, '..', '..', 'templates', 'stillframe.js');
const RESULTS = path.join(HERE, 'results', 'bench-viewers');
const LINES = [{ megabits: 30, milliseconds: 10 }, { megabits: 100, milliseconds: 40 }];
const SINGLE = (process.env.FRAMES || 'grey-small grey-large colour-small colour-medium colour-large').split(' ');
const FULL = 8;
const TIMEOUT_MS = 120_000;
const LIMIT_MS = 30_000; // an opening that has not come to full quality by then counts as blank

const stops = [];
const work = mkdtempSync(path.join(tmpdir(), 'stillframe-bench-'));
const made = process.env.BENCH_SAMPLES || work;

function prepare() {
  const [sources, tree, list] = ['dicom', 'tree', 'samples.json'].map((name) => path.join(made, name));
  if (!existsSync(list)) {
    const slices = process.env.SLICES ? [process.env.SLICES] : [];
    const samples = run(path.join(BIN, 'python'), ['-m', 'tests.e2e.bench_samples', sources, ...slices]);
    run(path.join(BIN, 'stillframe'), ['build', sources, tree]);
    writeFileSync(list, samples);
  }
  return { samples: JSON.parse(readFileSync(list, 'utf8')), tree };
}

async function openBrowser(viewport) {
  const browser = await chromium.launch({ executablePath: findChromium(), headless: true, args: FLAGS });
  const context = await browser.newContext({ viewport, ignoreHTTPSErrors: true });
  return { browser, page: await context.newPage() };
}

/** One load of a sample in one way, through a line of its own, in a browser of its own. */
async function load(pages, origin, sample, { way, line: speed, planes, warm }) {
  const line = await startSlowLine(origin, speed);
  const { browser, page } = await openBrowser(planes ? { width: 900, height: 300 } : { width: 800, height: 760 });
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  try {
    const root = `${line.origin.replace('http:', new URL(origin).protocol)}/dicomweb`;
    const query = { root, way, study: sample.study, series: sample.series, warm: `studies/${warm.study}/series/${warm.series}/instances/${warm.instance}` };
    const traffic = await watchFrames(page);
    let first;
    await page.exposeFunction('visible', () => (first ??= { requests: traffic.all().length, bytes: traffic.bytes() }));
    await page.goto(`${pages}index.html?${new URLSearchParams({ ...query, ...(planes && { planes: 1 }) })}`);
    await page.waitForFunction(() => window.prepared);
    await page.evaluate(() => window.prepared);
    await page.waitForTimeout(300);
    traffic.clear();
    const measured = await page.evaluate(() => window.measure());
    await page.waitForTimeout(100); // the last events of its traffic
    assert.deepEqual(complaints, []);
    return { ...measured, first, requests: traffic.all(), bytes: traffic.bytes() };
  } finally {
    await browser.close();
    await line.close();
  }
}

async function benchFrames({ pages, hosts, samples }) {
  const ways = waysOf('whole ohif range reduced ours');
  for (const [name, origin] of Object.entries(hosts)) {
    for (const line of LINES.slice(0, Number(process.env.LINES || 2))) {
      print(`\n${titleOf(name, line)}, Cornerstone3D 5.14, a viewport of 800 x 760\n`);
      print('| frame | way | requests | bytes | first bytes | first picture | its width | everything |\n|---|---|---|---|---|---|---|---|');
      for (const sample of SINGLE) {
        const results = await takeTurns(ways, (way) => load(pages, origin, samples[sample], { way, line, warm: samples['grey-small'] }));
        for (const way of ways) {
          const runs = results[way];
          assert.ok(runs.every(({ failure }) => !failure), `${sample} ${way}: ${runs.map(({ failure }) => failure)}`);
          const [{ requests, bytes, seen }] = runs;
          const first = Math.min(...requests.map((one) => one.bytes).slice(0, 1));
          print(`| ${sample} | ${way} | ${requests.length} | ${kilobytes(bytes)} | ${kilobytes(first)} | ${milliseconds(runs.map((one) => one.seen[0].ms))} | ${seen[0].width} | ${milliseconds(runs.map((one) => one.seen.at(-1).ms))} |`);
        }
      }
    }
  }
}

async function benchVolume({ pages, hosts, samples }) {
  const ways = waysOf('whole ohif range reduced hand ours');
  for (const [name, origin] of Object.entries(hosts)) {
    for (const line of LINES.slice(0, Number(process.env.LINES || 2))) {
      const results = await takeTurns(ways, (way) => load(pages, origin, samples.volume, { way, line, planes: true, warm: samples['grey-small'] }));
      print(`\n${titleOf(name, line)}, Cornerstone3D 5.14, three planes of 300 x 300\n`);
      print('| way | requests | bytes | visible after bytes | visible | everything | failed |\n|---|---|---|---|---|---|---|');
      for (const way of ways) {
        const runs = results[way];
        const [{ requests, bytes, first, failures }] = runs;
        print(`| ${way} | ${requests.length} | ${kilobytes(bytes)} | ${kilobytes(first.bytes)} in ${first.requests} | ${milliseconds(runs.map((one) => one.visible))} | ${milliseconds(runs.map((one) => one.whole))} | ${failures} |`);
      }
    }
  }
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

async function openOhif(origin, study, { isOff, isCached = true }) {
  const { browser, page } = await openBrowser({ width: 1280, height: 800 });
  const traffic = await watchFrames(page, { isCached });
  let first;
  await page.exposeFunction('pictured', () => (first ??= { requests: traffic.all().length, bytes: traffic.bytes() }));
  await page.addInitScript(watchPictures);
  if (isOff) await page.addInitScript(withoutModule);
  await page.goto(`${origin}/viewer?StudyInstanceUIDs=${study}`);
  return { browser, page, traffic, first: () => first };
}

/** The first picture of a CT slice in OHIF: counted from its first request for a frame. */
async function benchOhif({ sites, samples }) {
  for (const [version, origin] of Object.entries(sites)) {
    const [speed] = LINES;
    print(`\n${titleOf(`${version}, HTTP/1.1`, speed)}: the first picture of a slice of the volume\n`);
    print('| way | requests | bytes until then | of which the first request | its width | first request to picture |\n|---|---|---|---|---|---|');
    const ways = waysOf('viewer ours');
    const results = await takeTurns(ways, async (way) => {
      const line = await startSlowLine(origin, speed);
      const { browser, page, traffic, first } = await openOhif(line.origin, samples.volume.study, { isOff: way === 'viewer' });
      try {
        await page.waitForFunction(() => window.seen.length, null, { timeout: TIMEOUT_MS });
        const [picture] = await page.evaluate(() => window.seen.map(({ image: _, ...rest }) => rest));
        const [request] = traffic.all();
        const sent = await page.evaluate((url) => performance.timeOrigin + performance.getEntriesByName(url)[0].startTime, request.url);
        return { ...first(), width: picture.width, ms: picture.at - sent, firstRequest: request.bytes };
      } finally {
        await browser.close();
        await line.close();
      }
    });
    for (const way of ways) {
      const runs = results[way];
      print(`| ${way} | ${median(runs.map((one) => one.requests))} | ${kilobytes(median(runs.map((one) => one.bytes)))} | ${kilobytes(median(runs.map((one) => one.firstRequest)))} | ${runs[0].width} | ${milliseconds(runs.map((one) => one.ms))} |`);
    }
  }
}

/** Frames opened again and again, without a cache: how many stay blank, and how many come twice. */
async function benchOpenings({ sites, samples }) {
  for (const [version, origin] of Object.entries(sites)) {
    const ignoring = await startFaulty(origin, { ignoresRanges: true, stops });
    const losing = await startFaulty(origin, { loses: 10, stops });
    const hosts = { nginx: origin, 'ignores ranges': ignoring, 'loses every tenth connection': losing };
    print(`\n${version}: ${OPENINGS} openings of each frame, ${LINES[0].megabits} Mbit/s, ${LINES[0].milliseconds} ms; blank / bytes twice\n`);
    print(`| host | way | ${SINGLE.join(' | ')} |\n|---|---|${SINGLE.map(() => '---|').join('')}`);
    for (const [host, at] of Object.entries(hosts).filter(([name]) => (process.env.HOST ?? name) === name)) {
      for (const way of waysOf('viewer ours')) {
        const cells = [];
        for (const sample of SINGLE) cells.push(await openAgain(at, LINES[0], samples[sample], way === 'viewer'));
        print(`| ${host} | ${way} | ${cells.map(({ blank, twice }) => `${blank} / ${twice}`).join(' | ')} |`);
      }
    }
  }
}

async function openAgain(origin, speed, { study }, isOff) {
  const line = await startSlowLine(origin, speed);
  const { browser, page, traffic } = await openOhif(line.origin, study, { isOff, isCached: false });
  let [blank, twice] = [0, 0];
  try {
    await page.waitForFunction(() => window.cornerstone?.getRenderingEngines?.()[0]?.getViewports()[0]?.getImageIds?.().length, null, { timeout: TIMEOUT_MS });
    await page.waitForTimeout(3000); // its own opening
    for (let opening = 0; opening < OPENINGS; opening++) {
      traffic.clear();
      const quality = await page.evaluate(openOnce, { full: FULL, limit: LIMIT_MS });
      await page.waitForTimeout(100);
      const whole = traffic.all().filter(({ url }) => !url.includes('/reduced/'));
      const size = await sizeOf(page, whole[0]?.url);
      if (quality !== FULL) blank += 1;
      if (whole.reduce((sum, { bytes }) => sum + bytes, 0) > size) twice += 1;
    }
  } finally {
    await browser.close();
    await line.close();
  }
  return { blank, twice };
}

/** In the page: the stack once more, as if it had never been there; answers the quality it came to. */
async function openOnce({ full, limit }) {
  const { cache, getRenderingEngines } = window.cornerstone;
  const [viewport] = getRenderingEngines()[0].getViewports();
  const imageIds = viewport.getImageIds();
  cache.purgeCache();
  window.seen.length = 0;
  viewport.setStack(imageIds).catch(() => {});
  for (const end = Date.now() + limit; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    if (window.seen.at(-1)?.quality === full) break;
  }
  return window.seen.at(-1)?.quality;
}

const sizes = new Map();
async function sizeOf(page, url) {
  const key = url && new URL(url).pathname;
  if (key && !sizes.has(key)) {
    const length = await page.evaluate(async (one) => (await fetch(one, { method: 'HEAD' })).headers.get('Content-Length'), url);
    sizes.set(key, Number(length));
  }
  return sizes.get(key) ?? Infinity;
}

/** Each way in turn, RUNS times: what disturbs one disturbs the others. */
async function takeTurns(ways, measure) {
  const results = Object.fromEntries(ways.map((way) => [way, []]));
  for (let turn = 0; turn < RUNS; turn++) {
    for (const way of ways) results[way].push(await measure(way));
  }
  return results;
}

const printed = [];
function print(text) {
  console.log(text);
  printed.push(text);
}

const waysOf = (all) => (process.env.WAYS || all).split(' ');
const titleOf = (name, { megabits, milliseconds: ms }) => `${name}, ${megabits} Mbit/s, ${ms} ms, median of ${RUNS}`;
const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
const kilobytes = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} KB` : `${(bytes / 1e6).toFixed(2)} MB`);
const milliseconds = (values) => `${Math.round(median(values))} ms`;

async function main() {
  const { samples, tree } = prepare();
  run(process.execPath, [path.join(HERE, 'node_modules', 'vite', 'bin', 'vite.js'), 'build'], { cwd: path.join(HERE, 'bench') });
  const pages = await servePages(path.join(HERE, 'node_modules', '.viewers', 'bench'), { '/stillframe.js': MODULE });
  stops.push(() => pages.close());
  print(`Load when it began: ${loadavg().map((value) => value.toFixed(1)).join(', ')}`);
  if (PARTS.includes('frames') || PARTS.includes('volume')) {
    const hosts = {};
    for (const name of (process.env.PROTOCOLS || 'HTTP/1.1 HTTP/2').split(' ')) {
      hosts[name] = await startNginx({ tree, work, stops, isHttp2: name === 'HTTP/2' });
    }
    if (PARTS.includes('frames')) await benchFrames({ pages: pages.base, hosts, samples });
    if (PARTS.includes('volume')) await benchVolume({ pages: pages.base, hosts, samples });
  }
  if (PARTS.includes('ohif') || PARTS.includes('openings')) {
    const sites = {};
    for (const [version, dist] of Object.entries(installOhif((name) => VIEWERS.includes(name)))) {
      const own = path.join(work, version);
      const copy = path.join(own, 'tree');
      mkdirSync(own);
      cpSync(tree, copy, { recursive: true });
      run(path.join(BIN, 'stillframe'), ['site', copy, '--viewer', dist]);
      sites[version] = await startNginx({ tree: copy, work: own, stops });
    }
    if (PARTS.includes('ohif')) await benchOhif({ sites, samples });
    if (PARTS.includes('openings')) await benchOpenings({ sites, samples });
  }
  print(`\nLoad when it ended: ${loadavg().map((value) => value.toFixed(1)).join(', ')}`);
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(path.join(RESULTS, 'tables.md'), `${printed.join('\n')}\n`);
}

async function stopAll() {
  while (stops.length) await stops.pop()();
  rmSync(work, { recursive: true, force: true });
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stopAll().finally(() => process.exit(1)));
try {
  await main();
} finally {
  await stopAll();
}
