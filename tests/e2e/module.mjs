// Opens the samples of module_samples.py in OHIF and in a Cornerstone3D page, with stillframe.js, and looks at what is
// drawn: screenshots against what the formulas of PS3.3 give for the pixels. Run by tests/templates, or by hand:
//   node tests/e2e/module.mjs [ohif-3.13.2 | ohif-3.14.0-beta.6 | cornerstone] [sample …]
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { freePort } from './hosts.mjs';

const HERE = import.meta.dirname;
const TOP = path.join(HERE, '..', '..');
const VIEWERS = path.join(HERE, 'node_modules', '.viewers');
const BIN = path.resolve(process.env.STILLFRAME_BIN ?? path.join(TOP, '.venv', 'bin'));
const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const MODULE = path.join(TOP, 'templates', 'stillframe.js');
const VERSIONS = ['3.13.2', '3.14.0-beta.6'];
const TIMEOUT_MS = 90_000;
const DECODINGS = 160; // of the large sample: a decoder's heap of 2 GB holds 130
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--use-angle=swiftshader', '--enable-unsafe-swiftshader',
];
const [ROWS, COLUMNS, CENTER, WIDTH] = [128, 256, 2048, 1024]; // as module_samples.py makes them
const PREFIX = '/bucket/a%20prefix';
const TOKEN = 'module-test-of-an-unlisted-root';

const grey = (value) => Array(3).fill(255 * Math.min(1, Math.max(0, value)));
const stored = (column) => column * 16;
// PS3.3 C.11.2.1.2.1, C.11.2.1.3.1, C.11.2.1.3.2: from stored value to 0..1, before clamping.
const LINEAR = (column) => grey((stored(column) - (CENTER - 0.5)) / (WIDTH - 1) + 0.5);
const EXACT = (column) => grey((stored(column) - CENTER) / WIDTH + 0.5);
const SIGMOID = (column) => grey(1 / (1 + Math.exp((-4 * (stored(column) - CENTER)) / WIDTH)));
const STEP = (column) => grey(stored(column) > CENTER - 0.5 ? 1 : 0);
const WHOLE_RANGE = (column) => grey(column / (COLUMNS - 1));
const COLOUR = (column) => [column / (COLUMNS - 1), 0.5, 1 - column / (COLUMNS - 1)].map((one) => one * 255);

/** Columns of the middle row, where the step of width 1 and the ends of windows are not met. */
const columns = (colour, tolerance = 4) => ({
  points: [4, 40, 80, 100, 116, 122, 126, 132, 140, 160, 200, 250].map((column) => [column, 64, colour(column)]),
  tolerance,
});
const overlay = [255, 127, 127]; // OHIF's colour of overlays
const boxes = [
  [101, 41], [116, 48], [131, 55], // of the small overlay: rows 41 to 56, columns 101 to 132, from 1
  [201, 97], [216, 104],
].map(([column, row]) => [column, row, overlay]);
const outside = [[97, 48], [136, 48], [116, 36], [116, 60], [196, 104], [100, 104]];
const around = outside.map((point) => [...point, grey(0.5)]);

const EVERYWHERE = {
  linear: columns(LINEAR),
  sigmoid: columns(SIGMOID),
  'sigmoid-inverted': columns((column) => SIGMOID(column).map((one) => 255 - one)),
  'sigmoid-rescaled': columns(SIGMOID), // window and pixels, twice as large and moved
  exact: columns(EXACT),
  'unknown-function': columns(LINEAR),
  'sigmoid-shared': columns(SIGMOID),
  'sigmoid-frames': columns(SIGMOID),
  'width-1': columns(STEP),
  'width-0': columns(WHOLE_RANGE),
  'colour-16': columns(COLOUR),
  'colour-12': columns(COLOUR),
  aspect: { ...columns((column) => grey(stored(column) / 4095)), stretch: 2 },
  palette: columns(COLOUR),
  'palette-bulk': columns(COLOUR),
  'kept-jpeg': columns(COLOUR, 6),
  'retired-us': columns(WHOLE_RANGE),
  'large-colour': { requests: ['frames/1', 'frames/1'] }, // up to a resolution, and the rest
};
const IN_OHIF = {
  ...EVERYWHERE,
  overlays: { points: [...boxes, ...around], tolerance: 4 },
  'overlay-frames': {
    points: [[20, 64, grey(0.5)], [230, 64, grey(0.5)]],
    scroll: [[20, 64, overlay], [230, 64, grey(0.5)]], // of the second frame
    tolerance: 4,
  },
  'cine-95': columns(COLOUR),
  'photographic-frames': columns(COLOUR),
  'mp4-us': { video: true },
  'mp4-fragmentable': { video: true },
  mpeg2: { text: 'OHIF has no view for: US' },
  'key-objects': { text: 'OHIF has no view for: KO' },
  plan: { text: 'OHIF has no view for: RTPLAN' },
};
// Without the module everything opens that needs no mending, in one request.
const WITHOUT = {
  linear: columns(LINEAR),
  'kept-jpeg': columns(COLOUR, 6),
  'large-colour': { requests: ['frames/1'] },
};

const stops = [];
let failures = 0;

async function main([only, ...names]) {
  const work = mkdtempSync(path.join(tmpdir(), 'stillframe-module-'));
  stops.push(() => rmSync(work, { recursive: true, force: true }));
  const sources = path.join(work, 'dicom');
  const tree = path.join(work, 'tree');
  const samples = JSON.parse(run(path.join(BIN, 'python'), ['-m', 'tests.e2e.module_samples', sources], TOP));
  run(path.join(BIN, 'stillframe'), ['build', sources, tree]);
  const browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS });
  stops.push(() => browser.close());

  const viewers = [...VERSIONS.map((version) => `ohif-${version}`), 'cornerstone'];
  for (const viewer of viewers.filter((one) => !only || one === only)) {
    const dist = viewer === 'cornerstone' ? bundlePage() : installOhif(viewer.slice('ohif-'.length));
    const origin = await serve(tree, viewer === 'cornerstone' ? null : dist);
    const page = viewer === 'cornerstone' ? dist : null;
    for (const off of [false, true]) {
      const context = await openContext(browser, { origin, off, page });
      const expected = off ? WITHOUT : page ? EVERYWHERE : IN_OHIF;
      for (const [name, sight] of Object.entries(expected)) {
        if (names.length && !names.includes(name)) continue;
        const title = `${viewer} shows ${name}${off ? ' without the module' : ''}`;
        await check(title, () => see(context, address(origin, samples[name], { page, off }), sight));
      }
      if (!off && (!names.length || names.includes('decoded'))) {
        const large = address(origin, samples['large-colour'], { page });
        await check(`${viewer} decodes more than the heap of a decoder holds`, () => seeDecoded(context, large));
      }
      if (!page && !off && !names.length) {
        for (const base of [origin, origin + PREFIX]) {
          await check(`${viewer} lists studies at ${base}/worklist`, () => seeWorklist(context, base));
        }
        const below = address(origin + PREFIX, samples.sigmoid, {});
        await check(`${viewer} opens a study below a path`, () => see(context, below, EVERYWHERE.sigmoid));
        await check(`${viewer} opens an unlisted study`, () => seeUnlisted(context, origin, samples.sigmoid));
      }
      await context.close();
    }
  }
}

function address(origin, { study, series, instance }, { page, off }) {
  if (!page) return `${origin}/viewer?StudyInstanceUIDs=${study}`;
  return `${origin}/module-page/index.html?${new URLSearchParams({ study, series, instance, ...(off && { off: '' }) })}`;
}

/** A context in which `serve` also answers below PREFIX, an unlisted root has a token, and a page stands beside it. */
async function openContext(browser, { origin, off, page }) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  if (off) await context.route('**/stillframe.js', (route) => route.fulfill({ status: 404 }));
  else if (page) await context.route('**/stillframe.js', (route) => route.fulfill({ path: MODULE }));
  await context.route(`${origin}/dicomweb/${TOKEN}/**`, (route) =>
    route.continue({ url: route.request().url().replace(`/${TOKEN}`, '') }),
  );
  await context.route(`${origin}${PREFIX}/**`, async (route) => {
    const response = await route.fetch({ url: route.request().url().replace(PREFIX, '') });
    await route.fulfill({ response });
  });
  if (page) {
    await context.route(`${origin}/module-page/**`, (route) =>
      route.fulfill({ path: path.join(page, new URL(route.request().url()).pathname.replace('/module-page/', '')) }),
    );
  }
  return context;
}

async function see(context, url, sight) {
  await withPage(context, url, async (page, traffic) => {
    if (sight.text) {
      await page.getByText(sight.text).waitFor({ timeout: TIMEOUT_MS });
    } else if (sight.video) {
      await until(async () => assert.ok((await seeVideo(page)) > 5, 'the colours of a test picture'));
    } else {
      if (sight.points) await until(() => assertPoints(page, sight));
      if (sight.scroll) {
        await page.evaluate(() => window.cornerstone.getRenderingEngines()[0].getViewports()[0].setImageIdIndex(1));
        await until(() => assertPoints(page, { ...sight, points: sight.scroll }));
      }
      if (sight.requests) await until(async () => assert.ok(await isWhole(page), 'the whole frame'));
    }
    if (sight.requests) assert.deepEqual(traffic.frames, sight.requests, 'requests of frames');
    const toast = sight.text ? null : await page.evaluate(() => document.querySelector('[data-sonner-toast]')?.innerText);
    assert.equal(toast ?? null, null, 'a message of the viewer');
    assert.deepEqual(traffic.failures, [], 'requests that failed, errors in the page');
  });
}

/** A frame is decoded more often than fits into a decoder's heap, where Cornerstone's workers keep it. */
async function seeDecoded(context, url) {
  await withPage(context, url, async (page, traffic) => {
    await until(async () => assert.ok(await isWhole(page), 'the whole frame'));
    const pixels = await page.evaluate(async (times) => {
      const { imageLoader, getRenderingEngines } = window.cornerstone;
      const imageId = getRenderingEngines()[0].getViewports()[0].getCurrentImageId();
      const sums = new Set();
      for (let time = 0; time < times; time++) {
        const image = await imageLoader.loadImage(imageId, { ignoreCache: true });
        sums.add(image.getPixelData().reduce((sum, one) => sum + one, 0));
      }
      return [...sums];
    }, DECODINGS);
    assert.equal(pixels.length, 1, 'the same pixels every time');
    assert.deepEqual(traffic.failures, [], 'requests that failed, errors in the page');
  });
}

async function seeWorklist(context, base) {
  await withPage(context, `${base}/worklist`, async (page) => {
    await page.getByText('cine-95').first().waitFor({ timeout: TIMEOUT_MS });
    assert.equal(page.url(), `${base}/`);
  });
}

async function seeUnlisted(context, origin, sample) {
  const url = `${address(origin, sample, {})}&root=${TOKEN}`;
  await withPage(context, url, async (page, traffic) => {
    await until(() => assertPoints(page, EVERYWHERE.sigmoid));
    assert.ok(traffic.urls.length > 3);
    for (const one of traffic.urls) assert.ok(one.startsWith(`${origin}/dicomweb/${TOKEN}/`), one);
  });
}

async function withPage(context, url, use) {
  const page = await context.newPage();
  const traffic = { frames: [], urls: [], failures: [] };
  page.on('pageerror', (error) => traffic.failures.push(error.message));
  page.on('request', (request) => {
    if (!request.url().includes('/dicomweb/')) return;
    traffic.urls.push(request.url());
    const frame = /instances\/[^/]+\/((?:reduced\/\d+\/)?frames\/\d+)/.exec(request.url())?.[1];
    if (frame) traffic.frames.push(frame);
  });
  page.on('response', (response) => {
    const missing = response.status() === 404 && /\/(thumbnail|stillframe\.js)/.test(response.url()); // there may be none
    if (response.status() >= 400 && !missing) traffic.failures.push(`${response.status()} ${response.url()}`);
  });
  try {
    await page.goto(url);
    await use(page, traffic);
  } catch (error) {
    mkdirSync(path.join(HERE, 'results'), { recursive: true });
    const name = `module-${url.replace(/.*\/|[^\w.]/g, '_').slice(-80)}.png`;
    await page.screenshot({ path: path.join(HERE, 'results', name) }).catch(() => {});
    throw error;
  } finally {
    await page.close();
  }
}

/** Colours of the screen at pixels of the image, which is fitted into the middle of the viewport. */
async function assertPoints(page, { points, tolerance, stretch = 1 }) {
  const canvas = page.locator('canvas.cornerstone-canvas').first();
  await canvas.waitFor({ timeout: TIMEOUT_MS });
  const { width, height } = await canvas.boundingBox();
  const scale = Math.min(width / COLUMNS, height / (ROWS * stretch));
  const places = points.map(([column, row]) => [
    Math.floor(width / 2 + (column + 0.5 - COLUMNS / 2) * scale),
    Math.floor(height / 2 + (row + 0.5 - ROWS / 2) * scale * stretch),
  ]);
  const seen = await readScreen(page, canvas, places);
  points.forEach(([column, row, colour], index) => {
    const distance = Math.max(...colour.map((one, component) => Math.abs(one - seen[index][component])));
    assert.ok(distance <= tolerance, `column ${column}, row ${row}: ${seen[index]} is seen, ${colour.map(Math.round)} expected`);
  });
}

async function readScreen(page, canvas, places) {
  const clip = await canvas.boundingBox();
  const picture = (await page.screenshot({ clip })).toString('base64');
  return page.evaluate(
    async ([data, wanted]) => {
      const image = new Image();
      image.src = `data:image/png;base64,${data}`;
      await image.decode();
      const drawing = new OffscreenCanvas(image.width, image.height).getContext('2d');
      drawing.drawImage(image, 0, 0);
      return wanted.map(([x, y]) => [...drawing.getImageData(x, y, 1, 1).data.slice(0, 3)]);
    },
    [picture, places],
  );
}

/** How many different colours a row of a video viewport has, sixteen steps apart. */
async function seeVideo(page) {
  const type = await page.evaluate(() => window.cornerstone?.getRenderingEngines?.()[0]?.getViewports()[0]?.type);
  assert.equal(type, 'video');
  const canvas = page.locator('canvas.cornerstone-canvas').first();
  const { width, height } = await canvas.boundingBox();
  const places = [...Array(40).keys()].map((step) => [Math.floor(((step + 0.5) * width) / 40), Math.floor(height / 2)]);
  return new Set((await readScreen(page, canvas, places)).map((colour) => colour.map((one) => one >> 4).join())).size;
}

function isWhole(page) {
  return page.evaluate(
    () => window.cornerstone?.getRenderingEngines?.()[0]?.getViewports()[0]?.csImage?.imageQualityStatus === 8,
  );
}

/** Repeats an assertion until it holds; its last failure counts. */
async function until(assertion) {
  for (const end = Date.now() + TIMEOUT_MS; ; ) {
    try {
      return await assertion();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}

async function serve(tree, viewer) {
  const port = await freePort();
  const args = ['serve', tree, ...(viewer ? ['--viewer', viewer] : []), '--port', String(port)];
  const server = spawn(path.join(BIN, 'stillframe'), args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = new Promise((resolve) => server.once('exit', resolve));
  stops.push(async () => {
    server.kill('SIGTERM');
    await exited;
  });
  const origin = `http://127.0.0.1:${port}`;
  await until(async () => assert.ok((await fetch(`${origin}/dicomweb/studies`)).ok));
  return origin;
}

/** OHIF's prebuilt viewer. Its package is unpacked, not installed: the dependencies it lists are those of a build. */
function installOhif(version) {
  const folder = path.join(VIEWERS, `ohif-${version}`);
  const dist = path.join(folder, 'package', 'dist');
  if (!existsSync(path.join(dist, 'index.html'))) {
    mkdirSync(folder, { recursive: true });
    const archive = run('npm', ['pack', '--silent', `@ohif/app@${version}`], folder).trim().split('\n').at(-1);
    run('tar', ['xzf', archive], folder);
    rmSync(path.join(folder, archive));
  }
  return dist;
}

function bundlePage() {
  run(process.execPath, [path.join(HERE, 'node_modules', 'vite', 'bin', 'vite.js'), 'build'], path.join(HERE, 'module'));
  return path.join(VIEWERS, 'module');
}

function run(command, args, cwd = HERE) {
  return execFileSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 26 });
}

async function check(title, body) {
  const start = Date.now();
  try {
    await body();
    console.log(`ok   ${title} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures += 1;
    console.log(`FAIL ${title}\n     ${String(error.message ?? error).replaceAll('\n', '\n     ')}`);
  }
}

async function stopAll() {
  while (stops.length) await stops.pop()();
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stopAll().finally(() => process.exit(1)));

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(`module: ${error.message}`);
  process.exitCode = 1;
} finally {
  await stopAll();
}
if (failures) {
  console.log(`${failures} failed; screenshots are in tests/e2e/results`);
  process.exitCode = 1;
}
