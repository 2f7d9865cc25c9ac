// Opens an archive with every kind of object in OHIF and in Cornerstone3D, on every kind of host, and looks at what is
// drawn. `make e2e` runs it. The environment tells what to open: E2E_KINDS, E2E_VIEWERS and E2E_HOSTS are names with
// spaces between, E2E_CORE=1 is the core in one OHIF and on `serve`, E2E_MODULE=off leaves the browser module out.
// Screenshots and results go to E2E_RESULTS.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { BIN, run, servePages, startBucket, startNginx, startServe } from './hosts.mjs';
import { judge } from './looks.mjs';
import * as ohif from './ohif.mjs';
import { Traffic } from './page.mjs';
import { FLAGS, bundleCornerstone, findChromium, installOhif } from './viewers.mjs';
import { sleep } from './wait.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const RESULTS = process.env.E2E_RESULTS ?? path.join(HERE, 'results', 'kinds');
const HOSTS = { serve: startServe, nginx: startNginx, bucket: startBucket };
const CORE = process.env.E2E_CORE === '1';
const MODULE = process.env.E2E_MODULE !== 'off';
const TIMEOUT_MS = Number(process.env.E2E_TIMEOUT ?? 90) * 1000;
const STILL_MS = 500; // a picture is right if it still is after so long: it may be replaced by one that is not
// How long nothing is drawn or fetched before what is seen is final: short where something is known not to be right.
const PATIENCE_MS = { right: 15_000, known: 6_000 };
// What OHIF tells of a picture that is right: how it scales small numbers.
const INFORMATION = /^Parametric Map The values are multiplied by \d+ in the viewport/;
const LONGEST_MS = { right: TIMEOUT_MS, known: 30_000 };

const MODULE_FILE = path.join(HERE, '..', '..', 'templates', 'stillframe.js');
const NO_MODULE = "export const ohifExtension = { id: 'stillframe', preRegistration() {} };";

const chosen = (name) => (process.env[name] ? process.env[name].split(/[ ,]+/) : null);

const stops = [];
const results = [];

async function main() {
  const executablePath = findChromium();
  const wanted = chosen('E2E_VIEWERS');
  const viewers = installOhif((name, index) => (wanted ? wanted.includes(name) : !CORE || index === 0));
  // Hosts are started with a viewer, for Cornerstone3D alone, too.
  const served = Object.keys(viewers).length ? viewers : installOhif((name, index) => index === 0);
  const pages = await servePages(bundleCornerstone(), { '/stillframe.js': MODULE_FILE });
  stops.push(pages.close);
  const work = mkdtempSync(path.join(tmpdir(), 'stillframe-e2e-'));
  stops.push(() => rmSync(work, { recursive: true, force: true }));
  rmSync(RESULTS, { recursive: true, force: true });
  mkdirSync(RESULTS, { recursive: true });

  const sources = path.join(work, 'dicom');
  const tree = path.join(work, 'tree');
  const keys = chosen('E2E_KINDS') ?? [];
  const samples = JSON.parse(run(path.join(BIN, 'python'), ['-m', 'tests.e2e.samples', sources, ...(CORE ? ['--core'] : []), ...keys]));
  run(path.join(BIN, 'stillframe'), ['build', sources, tree], { stdio: ['ignore', 'ignore', 'inherit'] });

  const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS });
  stops.push(() => browser.close());
  for (const name of chosen('E2E_HOSTS') ?? (CORE ? ['serve'] : Object.keys(HOSTS))) {
    const few = name === 'serve' ? samples : samples.filter(({ hosts }) => hosts || keys.length);
    const host = await HOSTS[name]({ tree, sources, viewers: served, stops, work });
    for (const viewer of Object.keys(viewers)) await openAll(browser, host, viewer, few, openInOhif(host.bases[viewer]));
    if (!wanted || wanted.includes('cornerstone')) {
      const shown = few.filter(({ page }) => page);
      await openAll(browser, host, 'cornerstone', shown, openInCornerstone(pages.base, host));
    }
  }
}

/** Opens every sample in one page of a new profile. */
async function openAll(browser, host, viewer, samples, open) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  if (!MODULE) {
    await context.route('**/stillframe.js', (route) => route.fulfill({ contentType: 'text/javascript', body: NO_MODULE }));
  }
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  const traffic = new Traffic(page);
  await open.first?.(page, samples[0]);
  for (const sample of samples) {
    const views = open.views(sample);
    for (const [index, view] of views.entries()) {
      const started = Date.now();
      const known = sample.limits[viewer] !== undefined && !(MODULE && sample.limits[viewer].module);
      traffic.begin();
      const verdict = await lookAt(page, traffic, sample, view, open, known ? 'known' : 'right');
      const seconds = (Date.now() - started) / 1000;
      const file = [host.name, viewer, sample.key, ...(index ? [index + 1] : [])].join('--');
      await page.screenshot({ path: path.join(RESULTS, `${file}.png`) }).catch(() => {});
      results.push({ host: host.name, viewer, key: sample.key, view: index + 1, known, seconds, ...verdict });
      const mark = verdict.right ? 'right' : 'NOT  ';
      const surprise = verdict.right === known ? ' SURPRISE' : '';
      console.log(`${mark} ${file} (${seconds.toFixed(1)} s) ${verdict.seen}${surprise}`);
      for (const line of verdict.complaints) console.log(`      ${line}`);
    }
  }
  await context.close();
}

/** What is seen of a view: until it is right, or until nothing more happens. */
async function lookAt(page, traffic, sample, view, open, hope) {
  let seen = { right: false, seen: '' };
  try {
    await open.open(page, sample, view);
    seen = await watch(page, traffic, view.look, open.selectors(view), hope);
  } catch (error) {
    seen = { right: false, seen: String(error.message ?? error).split('\n')[0] };
  }
  const complaints = traffic.complaints((url) => sample.bare.some((uid) => url.includes(uid) && url.includes('/thumbnail')));
  const toasts = (await ohif.toasts(page)).map((toast) => toast.replaceAll('\n', ' '));
  for (const toast of toasts) if (!INFORMATION.test(toast)) complaints.push(`message: ${toast}`);
  return { ...seen, right: seen.right && complaints.length === 0, complaints };
}

async function watch(page, traffic, look, selectors, hope) {
  let seen = { right: false, seen: '' };
  let changed = Date.now();
  for (const end = Date.now() + LONGEST_MS[hope]; Date.now() < end; await sleep(250)) {
    const before = seen;
    seen = await judge(page, look, selectors);
    if (seen.right) {
      await sleep(STILL_MS);
      seen = await judge(page, look, selectors);
      if (seen.right) return seen;
    }
    if (seen.seen !== before.seen) changed = Date.now();
    if (Date.now() - Math.max(changed, traffic.last) > PATIENCE_MS[hope]) break;
  }
  return seen;
}

function openInOhif(base) {
  return {
    first: (page, sample) => ohif.greet(page, base, sample.study),
    views: (sample) => sample.views,
    open: (page, sample, view) => ohif.open(page, base, sample, view),
    selectors: ({ opened }) => ({ canvas: opened === 'microscopy' ? ohif.SLIDE : ohif.CANVAS, panes: ohif.PANES }),
  };
}

function openInCornerstone(base, { root }) {
  return {
    views: (sample) => sample.views.slice(0, 1),
    open: (page, { study, series, instance }, { opened }) => {
      const query = new URLSearchParams({ root, study, series, instance });
      if (opened === 'mpr') query.set('planes', '1');
      if (MODULE) query.set('module', '/stillframe.js');
      return page.goto(`${base}?${query}`);
    },
    selectors: () => ({ canvas: 'canvas.cornerstone-canvas', panes: 'body' }),
  };
}

async function stopAll() {
  while (stops.length) await stops.pop()();
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stopAll().finally(() => process.exit(1)));

try {
  await main();
  const file = path.join(RESULTS, 'results.json');
  writeFileSync(file, JSON.stringify(results));
  console.log(run(path.join(BIN, 'python'), ['-m', 'tests.e2e.table', file]));
} catch (error) {
  console.error(`e2e: ${error.stack}`);
  process.exitCode = 1;
} finally {
  await stopAll();
}
if (results.some(({ right, known }) => right === known)) {
  console.log('There are surprises; screenshots are in tests/e2e/results/kinds.');
  process.exitCode = 1;
}
