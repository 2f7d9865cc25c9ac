// Opens a tree, built and served by the stillframe command, in OHIF and in Cornerstone3D, and compares what the
// viewers hold with what pydicom reads from the sources. `make e2e` runs it; STILLFRAME_BIN is the folder with the
// python and stillframe to use, CHROMIUM the browser. With STILLFRAME_SERVER=nginx the tree is served by nginx instead.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { startSlowProxy } from './slow-proxy.mjs';
import { inspectViewport, recordQuality, watchTraffic } from './viewport.mjs';

const HERE = import.meta.dirname;
const VIEWERS = path.join(HERE, 'node_modules', '.viewers');
const SCREENSHOTS = path.join(HERE, 'results');
const BIN = path.resolve(process.env.STILLFRAME_BIN ?? path.join(HERE, '..', '..', '.venv', 'bin'));
const NGINX = process.env.STILLFRAME_SERVER === 'nginx';
const FULL_RESOLUTION = 8; // Cornerstone's ImageQualityStatus
const SLOW_MEGABITS = 30;
const TIMEOUT_MS = 45_000;
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--use-angle=swiftshader', '--enable-unsafe-swiftshader',
];

const stops = [];
let failures = 0;

async function main() {
  const executablePath = findChromium();
  const ohif = installOhif();
  const cornerstone = bundleCornerstone();
  const work = mkdtempSync(path.join(tmpdir(), 'stillframe-e2e-'));
  stops.push(() => rmSync(work, { recursive: true, force: true }));
  mkdirSync(SCREENSHOTS, { recursive: true });

  const sources = path.join(work, 'dicom');
  const tree = path.join(work, 'tree');
  const samples = JSON.parse(run(path.join(BIN, 'python'), [path.join(HERE, 'samples.py'), sources]));
  run(path.join(BIN, 'stillframe'), ['build', sources, tree]);

  const ohifOrigin = await serve(tree, ohif);
  const cornerstoneOrigin = await serve(tree, cornerstone);
  const slow = await startSlowProxy(ohifOrigin, SLOW_MEGABITS);
  stops.push(slow.close);
  const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS });
  stops.push(() => browser.close());

  await check('OHIF lists the studies', () => checkStudyList(browser, ohifOrigin, samples));
  for (const sample of samples) {
    const viewer = `/viewer?StudyInstanceUIDs=${sample.study}`;
    await check(`OHIF shows ${sample.name}`, () => checkImage(browser, ohifOrigin, viewer, sample));
    const { study, series, instance } = sample;
    const page = `/?${new URLSearchParams({ study, series, instance })}`;
    await check(`Cornerstone3D shows ${sample.name}`, () =>
      checkImage(browser, cornerstoneOrigin, page, sample, 'cornerstone-'),
    );
  }
  const large = samples.find((sample) => sample.name === 'large');
  await check(`OHIF shows large progressively at ${SLOW_MEGABITS} Mbit/s`, () =>
    checkProgress(browser, slow.origin, large),
  );
}

async function checkStudyList(browser, origin, samples) {
  await withPage(browser, origin, 'study-list', async (page) => {
    await page.goto(`${origin}/`);
    for (const { name } of samples) await page.getByText(name).first().waitFor({ timeout: TIMEOUT_MS });
  });
}

async function checkImage(browser, origin, url, sample, prefix = 'ohif-') {
  await withPage(browser, origin, prefix + sample.name, async (page, traffic) => {
    await page.goto(origin + url);
    const image = await waitForFullImage(page);
    assertImage(image, sample);
    assertFrames(traffic, sample);
    if (prefix === 'ohif-') assertThumbnail(traffic, sample);
  });
}

async function checkProgress(browser, origin, sample) {
  await withPage(browser, origin, 'ohif-slow', async (page) => {
    await page.addInitScript(recordQuality);
    await page.goto(`${origin}/viewer?StudyInstanceUIDs=${sample.study}`);
    assertImage(await waitForFullImage(page), sample);
    const shown = await page.evaluate(() => window.shownQualities);
    console.log(`     ${shown.map(({ quality, ms }) => `quality ${quality} after ${ms} ms`).join(', ')}`);
    assert.ok(shown[0].quality < FULL_RESOLUTION, 'a lower resolution is drawn before the frame is complete');
    assert.equal(shown.at(-1).quality, FULL_RESOLUTION);
  });
}

function assertImage(image, sample) {
  assert.deepEqual([image.columns, image.rows], [sample.columns, sample.rows], 'columns and rows');
  if (sample.singlePart) assert.equal(image.sha256, sample.sha256, 'pixel values, as pydicom reads them');
  // JPEG decoders may differ by a level or two, so there the means of the colour components have to agree.
  const distances = sample.means.map((mean, index) => Math.abs(mean - image.means[index]));
  assert.ok(Math.max(...distances) < 1, `means ${image.means}, expected ${sample.means}`);
}

function assertFrames(traffic, sample) {
  const frames = traffic.responses.filter(({ url }) => url.includes(`${sample.instance}/frames/`));
  assert.ok(frames.length > 0, 'a frame was requested');
  const expected = sample.singlePart
    ? /^image\/jphc; transfer-syntax=1\.2\.840\.10008\.1\.2\.4\.202$/
    : /^multipart\/related; .*boundary=/;
  for (const { type } of frames) assert.match(type, expected);
}

function assertThumbnail(traffic, sample) {
  const thumbnails = traffic.responses.filter(({ url }) => url.includes(sample.study) && url.includes('/thumbnail'));
  assert.ok(thumbnails.length > 0, 'a thumbnail was requested');
  for (const { type } of thumbnails) assert.equal(type, 'image/jpeg');
}

/** Runs `use` with a fresh page, takes a screenshot however it ends, and then looks at the network log. */
async function withPage(browser, origin, name, use) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  const traffic = watchTraffic(page, origin);
  try {
    await use(page, traffic);
    assert.deepEqual(traffic.failures, [], 'requests that failed');
    assert.deepEqual(traffic.errors, [], 'errors in the page');
  } finally {
    await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`) }).catch(() => {});
    await context.close();
  }
}

async function waitForFullImage(page) {
  for (const end = Date.now() + TIMEOUT_MS; Date.now() < end; await page.waitForTimeout(200)) {
    const image = await page.evaluate(inspectViewport, FULL_RESOLUTION);
    if (!image) continue;
    await page.waitForTimeout(500); // for the screenshot: the canvas is drawn a moment after the cache is filled
    return image;
  }
  throw new Error('no image at full resolution in time');
}

async function serve(tree, viewer) {
  const port = await freePort();
  const [command, ...args] = NGINX
    ? prepareNginx(tree, viewer, port)
    : [path.join(BIN, 'stillframe'), 'serve', tree, '--viewer', viewer, '--port', String(port)];
  const server = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = new Promise((resolve) => server.once('exit', resolve));
  stops.push(async () => {
    server.kill('SIGTERM');
    await exited;
  });
  const origin = `http://127.0.0.1:${port}`;
  for (let waited = 0; waited < 30_000; waited += 100) {
    assert.equal(server.exitCode, null, `${command} ended`);
    if (await fetch(`${origin}/dicomweb/studies`).then((response) => response.ok, () => false)) return origin;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${command} does not answer`);
}

/** nginx's command line for a tree and a viewer: a copy of its folder, with the configuration that `serve` would make. */
function prepareNginx(tree, viewer, port) {
  const state = mkdtempSync(path.join(tmpdir(), 'stillframe-nginx-'));
  stops.push(() => rmSync(state, { recursive: true, force: true }));
  const dist = path.join(state, 'dist');
  cpSync(viewer, dist, { recursive: true });
  const code = "import stillframe.hosting.pages; print(stillframe.hosting.pages.render_viewer_config(root='/dicomweb'))";
  writeFileSync(path.join(dist, 'app-config.js'), run(path.join(BIN, 'python'), ['-c', code]));
  const args = ['nginx', tree, '--viewer', dist, '--port', String(port)];
  writeFileSync(path.join(state, 'nginx.conf'), run(path.join(BIN, 'stillframe'), args));
  const user = process.getuid() === 0 ? ' user root;' : ''; // of workers, which are to read temporary folders
  return ['/usr/sbin/nginx', '-p', state, '-c', 'nginx.conf', '-g', `daemon off;${user}`];
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function findChromium() {
  const names = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  const found = names.find((name) => name && existsSync(name));
  if (!found) {
    throw new Error('no browser. Debian: apt-get install chromium. Elsewhere: make e2e CHROMIUM=/path/to/chromium.');
  }
  return found;
}

/** OHIF's prebuilt viewer. Its package is unpacked, not installed: the dependencies it lists are those of a build. */
function installOhif() {
  const { ohif } = JSON.parse(readFileSync(path.join(HERE, 'package.json'))).config;
  const folder = path.join(VIEWERS, `ohif-${ohif}`);
  const dist = path.join(folder, 'package', 'dist');
  if (!existsSync(path.join(dist, 'index.html'))) {
    mkdirSync(folder, { recursive: true });
    const archive = run('npm', ['pack', '--silent', `@ohif/app@${ohif}`], folder).trim().split('\n').at(-1);
    run('tar', ['xzf', archive], folder);
    rmSync(path.join(folder, archive));
  }
  return dist;
}

function bundleCornerstone() {
  run(process.execPath, [path.join(HERE, 'node_modules', 'vite', 'bin', 'vite.js'), 'build'], path.join(HERE, 'cornerstone'));
  return path.join(VIEWERS, 'cornerstone');
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
  await main();
} catch (error) {
  console.error(`e2e: ${error.message}`);
  process.exitCode = 1;
} finally {
  await stopAll();
}
if (failures) {
  console.log(`${failures} failed; screenshots are in tests/e2e/results`);
  process.exitCode = 1;
}
