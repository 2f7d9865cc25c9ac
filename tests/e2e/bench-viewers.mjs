// The same frames and the same volume through viewers' own ways, exact ranges, the reduced variant and whole frames, side
// by side: `make bench-viewers`. Prints tables of medians as Markdown, those of docs/reference/exact-ranges.md.
//   PARTS="frames volume ohif openings"; RUNS=3 of each way, OPENINGS=20 of each frame, SLICES=174 of the volume
//   WAYS, FRAMES, LINES="30/10 100/40", PROTOCOLS, HOST and VIEWERS choose; BENCH_SAMPLES=/a/folder keeps the samples
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { startNginx } from './bench-hosts.mjs';
import { hostsOf, makeSite, openAll, openOhif } from './bench-openings.mjs';
import { watchFrames } from './bench-traffic.mjs';
import { BIN, run, servePages } from './hosts.mjs';
import { startSlowLine } from './slow-line.mjs';
import { FLAGS, findChromium, installOhif } from './viewers.mjs';

const HERE = import.meta.dirname;
const chosen = (name, all) => (process.env[name] || all).split(' ');
const RUNS = Number(process.env.RUNS || 3);
const OPENINGS = Number(process.env.OPENINGS || 20);
const FEW_OPENINGS = Math.ceil(OPENINGS / 20); // on other hosts; of the viewer's own way two
const PARTS = chosen('PARTS', 'frames volume ohif openings');
const VIEWERS = chosen('VIEWERS', 'ohif-3.13.2 ohif-3.14.0-beta.6');
const MODULE = path.join(HERE, '..', '..', 'templates', 'stillframe.js');
const RESULTS = path.join(HERE, 'results', 'bench-viewers');
const LINES = chosen('LINES', '30/10 100/40').map((text) => text.split('/').map(Number)).map(([megabits, milliseconds]) => ({ megabits, milliseconds }));
const SIZES = {
  'grey-small': 'grey, 360 x 420', 'grey-large': 'grey, 3036 x 3036', 'colour-small': 'colour, 400 x 320',
  'colour-medium': 'colour, 2048 x 1536', 'colour-large': 'colour, 4000 x 3000',
};
const FRAMES = chosen('FRAMES', Object.keys(SIZES).join(' '));
const NAMES = { whole: 'whole', ohif: 'OHIF', range: 'range', reduced: 'reduced', hand: 'by hand', ours: 'module' };
const TIMEOUT_MS = 120_000;

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
  return { samples: JSON.parse(readFileSync(list, 'utf8')), tree, sources };
}

/** One load of a sample in one way, through a line of its own, in a profile of its own. */
async function load(browser, pages, origin, sample, { way, line: speed, planes, warm }) {
  const line = await startSlowLine(origin, speed);
  const viewport = planes ? { width: 900, height: 300 } : { width: 800, height: 760 };
  const context = await browser.newContext({ viewport, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
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
    await context.close();
    await line.close();
  }
}

/** By HTTP/1.1 on the first line every frame in every way; elsewhere what tells most. */
async function benchFrames({ pages, hosts, samples }) {
  for (const [name, origin, line, isFirst] of settings(hosts)) {
    const ways = waysOf(isFirst ? 'whole ohif range reduced hand ours' : 'range hand ours');
    title('Frames', name, line, 'Cornerstone3D 5.14, a viewport of 800 x 760', RUNS);
    row('frame', 'way', 'requests', 'bytes', 'first request', 'first picture', 'after its bytes', 'its columns', 'everything');
    rule(9);
    for (const frame of FRAMES.filter((one) => isFirst || one === 'grey-large')) {
      const warm = samples[frame === 'grey-small' ? 'colour-small' : 'grey-small']; // a viewer fetches no frame twice
      const results = await takeTurns(ways, (browser, way) => load(browser, pages, origin, samples[frame], { way, line, warm }));
      for (const way of ways) {
        const runs = results[way];
        assert.ok(runs.every(({ failure }) => !failure), `${frame} ${way}: ${runs.map(({ failure }) => failure)}`);
        const [{ requests, bytes, seen }] = runs;
        const after = runs.map((one) => one.seen[0].ms - one.arrived);
        row(SIZES[frame], NAMES[way], requests.length, kilobytes(bytes), kilobytes(requests[0].bytes),
          milliseconds(runs.map((one) => one.seen[0].ms)), median(after) > 0 ? milliseconds(after) : 'before', seen[0].width,
          milliseconds(runs.map((one) => one.seen.at(-1).ms)));
      }
    }
  }
}

async function benchVolume({ pages, hosts, samples }) {
  for (const [name, origin, line, isFirst] of settings(hosts)) {
    const ways = waysOf(isFirst ? 'whole ohif range reduced hand ours' : 'ohif hand ours');
    title('A volume', name, line, 'Cornerstone3D 5.14, three planes of 300 x 300', RUNS);
    row('way', 'requests', 'bytes', 'bytes when visible', 'visible', 'last byte', 'everything', 'drawn', 'failed');
    rule(9);
    const results = await takeTurns(ways, (browser, way) => load(browser, pages, origin, samples.volume, { way, line, planes: true, warm: samples['grey-small'] }));
    for (const way of ways) {
      const runs = results[way];
      const [{ requests, bytes, failures }] = runs;
      row(NAMES[way], requests.length, kilobytes(bytes), kilobytes(median(runs.map(({ first }) => first.bytes))),
        ...['visible', 'arrived', 'whole'].map((moment) => milliseconds(runs.map((one) => one[moment]))),
        median(runs.map(({ drawn }) => drawn)), failures);
    }
  }
}

/** Hosts by lines; the first is where everything is measured. */
function settings(hosts) {
  return Object.entries(hosts).flatMap(([name, origin], at) => LINES.map((line, index) => [name, origin, line, at + index === 0]));
}

/** The first picture of a CT slice in OHIF: counted from its first request for a frame. */
async function benchOhif({ sites, samples }) {
  const [speed] = LINES;
  title('The first picture of a slice of the volume in OHIF', 'HTTP/1.1', speed, 'from its first request for a frame', RUNS);
  row('viewer', 'way', 'requests until then', 'bytes until then', 'first request', 'its columns', 'first picture');
  rule(7);
  for (const [version, { tree, folder }] of Object.entries(sites)) {
    const origin = await startNginx({ tree, work: folder, stops });
    const ways = waysOf('ohif ours');
    const results = await takeTurns(ways, async (browser, way) => {
      const line = await startSlowLine(origin, speed);
      const viewer = await openOhif(browser, line.origin, [samples.volume.study], { isOff: way !== 'ours' });
      try {
        const { page, traffic, first } = viewer;
        await page.waitForFunction(() => window.seen.length);
        const [picture] = await page.evaluate(() => window.seen.map(({ image: _, ...rest }) => rest));
        const [request] = traffic.all();
        const sent = await page.evaluate((url) => performance.timeOrigin + performance.getEntriesByName(url)[0].startTime, request.url);
        return { ...first(), width: picture.width, ms: picture.at - sent, firstRequest: request.bytes };
      } finally {
        await viewer.close();
        await line.close();
      }
    });
    for (const way of ways) {
      const runs = results[way];
      const middle = (key) => median(runs.map((one) => one[key]));
      row(version, NAMES[way], middle('requests'), kilobytes(middle('bytes')), kilobytes(middle('firstRequest')), runs[0].width, milliseconds(runs.map((one) => one.ms)));
    }
  }
}

/**
 * Frames and a volume opened in OHIF without a cache, on every host. On nginx they are opened so many times, in the first
 * OHIF on the first line and beside the viewer's own way; elsewhere a few times, on the last line.
 */
async function benchOpenings({ sites, samples, sources }) {
  const frames = FRAMES.map((name) => samples[name]);
  print(`\nOpenings in OHIF, and a volume in three planes: how many stayed blank, how many came twice, of how many.\n`);
  row('viewer', 'host', 'Mbit/s', 'way', ...FRAMES.map((name) => SIZES[name]), 'volume');
  rule(FRAMES.length + 5);
  const jobs = Object.entries(sites).flatMap(([version, { tree, dist, folder }], index) => {
    const hosts = Object.entries(hostsOf({ tree, sources, dist, work: folder, stops })).filter(([one]) => (process.env.HOST ?? one) === one);
    return hosts.flatMap(([host, start], place) => {
      const line = index || place ? LINES.at(-1) : LINES[0];
      let started;
      return waysOf(index || place ? 'ours' : 'ohif ours').map((way) => async () => {
        const isOff = way !== 'ours';
        const openings = place ? FEW_OPENINGS : isOff ? 2 : OPENINGS;
        const picture = path.join(RESULTS, `${version}-${host.replace(/\W+/g, '-')}-${way}.png`);
        const origin = await (started ??= start());
        const browser = await startBrowser();
        try {
          const cells = await openAll(browser, origin, { frames, volume: samples.volume, line, openings, isOff, picture });
          return [version, host, line.megabits, NAMES[way], ...cells.map(({ blank, twice, openings: all }) => `${blank}, ${twice} of ${all}`)];
        } finally {
          await browser.close();
        }
      });
    });
  });
  await inPairs(jobs, (cells) => row(...cells));
}

/** Two at a time, since one waits for its line while the other computes. What they come to is told in their order. */
async function inPairs(jobs, tell) {
  const results = [];
  let told = 0;
  const rest = jobs.entries();
  const work = async () => {
    for (const [index, job] of rest) {
      results[index] = await job();
      while (results[told]) tell(results[told++]);
    }
  };
  await Promise.all([work(), work()]);
}

/** Each way in turn, RUNS times: what disturbs one disturbs the others. */
async function takeTurns(ways, measure) {
  const results = Object.fromEntries(ways.map((way) => [way, []]));
  const browser = await startBrowser();
  try {
    for (let turn = 0; turn < RUNS; turn++) {
      for (const way of ways) results[way].push(await measure(browser, way));
    }
  } finally {
    await browser.close();
  }
  return results;
}

const startBrowser = () => chromium.launch({ executablePath: findChromium(), headless: true, args: FLAGS });

const printed = [];
function print(text) {
  console.log(text);
  printed.push(text);
}

const row = (...cells) => print(`| ${cells.join(' | ')} |`);
const rule = (count) => print(`|${'---|'.repeat(count)}`);
const title = (what, name, { megabits, milliseconds: ms }, more, count) =>
  print(`\n${what}. ${name}, ${megabits} Mbit/s, ${ms} ms; ${more}${count > 1 ? `; medians of ${count}` : ''}.\n`);
const waysOf = (all) => chosen('WAYS', all);
const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
const kilobytes = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} KB` : `${(bytes / 1e6).toFixed(2)} MB`);
const milliseconds = (values) => `${Math.round(median(values))} ms`;

async function main() {
  const { samples, tree, sources } = prepare();
  run(process.execPath, [path.join(HERE, 'node_modules', 'vite', 'bin', 'vite.js'), 'build'], { cwd: path.join(HERE, 'bench') });
  const pages = await servePages(path.join(HERE, 'node_modules', '.viewers', 'bench'), { '/stillframe.js': MODULE });
  stops.push(() => pages.close());
  mkdirSync(RESULTS, { recursive: true });
  print(`${cpus().length} cores, load ${loads()} when it began`);
  const wants = (...parts) => parts.some((part) => PARTS.includes(part));
  const hosts = {};
  for (const name of wants('frames', 'volume') ? chosen('PROTOCOLS', 'HTTP/1.1 HTTP/2') : []) {
    hosts[name] = await startNginx({ tree, work, stops, isHttp2: name === 'HTTP/2' });
  }
  if (wants('volume')) await benchVolume({ pages: pages.base, hosts, samples });
  if (wants('frames')) await benchFrames({ pages: pages.base, hosts, samples });
  const sites = {};
  for (const [version, dist] of Object.entries(wants('ohif', 'openings') ? installOhif((name) => VIEWERS.includes(name)) : {})) {
    const folder = path.join(work, version);
    sites[version] = { tree: makeSite({ tree, dist, work: folder }), dist, folder };
  }
  if (wants('ohif')) await benchOhif({ sites, samples });
  if (wants('openings')) await benchOpenings({ sites, samples, sources });
  print(`\nLoad ${loads()} when it ended, after ${Math.round(process.uptime() / 60)} minutes`);
  writeFileSync(path.join(RESULTS, 'tables.md'), `${printed.join('\n')}\n`);
}

const loads = () => loadavg().map((value) => value.toFixed(1)).join(', ');

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
