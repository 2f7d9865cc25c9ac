// How long it takes from the address of a study to its first picture, in a fresh profile and then for a second study,
// on a line of 30 Mbit/s and 10 ms: node first-picture.mjs OHIF_DIST. RUNS=3 says how often. Prints a table of medians.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { chromium } from 'playwright-core';
import { startSlowLine } from './slow-line.mjs';

const HERE = import.meta.dirname;
const BIN = path.resolve(process.env.STILLFRAME_BIN ?? path.join(HERE, '..', '..', '.venv', 'bin'));
const RUNS = Number(process.env.RUNS ?? 3);
const LINE = { megabits: 30, milliseconds: 10 };
const LIMITS = { fresh: 4, second: 2 }; // seconds
const TIMEOUT_MS = 120_000;
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--use-angle=swiftshader', '--enable-unsafe-swiftshader',
];

const hosts = spawn(path.join(BIN, 'python'), [path.join(HERE, 'first_picture_hosts.py'), path.resolve(process.argv[2])], {
  cwd: path.join(HERE, '..', '..'),
  env: { ...process.env, PYTHONPATH: path.join(HERE, '..', '..') },
  stdio: ['pipe', 'pipe', 'inherit'],
});
const ended = new Promise((resolve) => hosts.once('exit', resolve));
let slow = false;
try {
  const [line] = await Promise.race([once(readline.createInterface({ input: hosts.stdout })), ended.then(() => [''])]);
  if (!line) throw new Error('the hosts did not start');
  const { sites, studies } = JSON.parse(line);
  console.log(`${LINE.megabits} Mbit/s, ${LINE.milliseconds} ms; seconds to the first picture, median of ${RUNS} (all)`);
  console.log('| host | fresh profile | second study | bytes, fresh | bytes, second |\n|---|---|---|---|---|');
  for (const [name, site] of Object.entries(sites)) {
    const runs = [];
    for (let run = 0; run < RUNS; run++) runs.push(await measure(site, studies));
    const [fresh, second] = [runs.map((run) => run.fresh), runs.map((run) => run.second)];
    slow ||= median(fresh.map((run) => run.seconds)) > LIMITS.fresh || median(second.map((run) => run.seconds)) > LIMITS.second;
    console.log(`| ${name} | ${times(fresh)} | ${times(second)} | ${megabytes(fresh)} | ${megabytes(second)} |`);
  }
} finally {
  hosts.stdin.end();
  await ended;
}
process.exitCode = slow ? 1 : 0;

function once(lines) {
  return new Promise((resolve) => lines.once('line', (line) => resolve([line])));
}

async function measure(site, studies) {
  const line = await startSlowLine(new URL(site).origin, LINE);
  const profile = mkdtempSync(path.join(tmpdir(), 'stillframe-profile-'));
  const executablePath = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);
  const browser = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS, viewport: { width: 1280, height: 800 } });
  try {
    const base = line.origin + new URL(site).pathname;
    const results = [];
    for (const study of studies) {
      const before = line.bytes();
      const page = await browser.newPage();
      await page.addInitScript(watchPicture);
      await page.goto(`${base}viewer?StudyInstanceUIDs=${study}`, { waitUntil: 'commit' });
      await page.waitForFunction(() => window.firstPicture, null, { timeout: TIMEOUT_MS, polling: 50 }).catch(async (error) => {
        await page.screenshot({ path: path.join(HERE, 'results', 'first-picture.png') });
        throw error;
      });
      results.push({ seconds: (await page.evaluate(() => window.firstPicture)) / 1000, bytes: line.bytes() - before });
      await page.waitForTimeout(5000); // a reader looks at it: what is loaded meanwhile is in the cache
      await page.close();
    }
    return { fresh: results[0], second: results[1] };
  } finally {
    await browser.close();
    await line.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

// In the page: notes when a canvas of the viewer first shows something that is not of one colour, in milliseconds since
// the address was opened.
function watchPicture() {
  const small = document.createElement('canvas');
  small.width = small.height = 16;
  const context = small.getContext('2d', { willReadFrequently: true });
  const timer = setInterval(() => {
    for (const canvas of document.querySelectorAll('canvas.cornerstone-canvas')) {
      if (!canvas.width || !canvas.height) continue;
      context.drawImage(canvas, 0, 0, 16, 16);
      const pixels = context.getImageData(0, 0, 16, 16).data.filter((_, index) => index % 4 === 1);
      if (Math.max(...pixels) - Math.min(...pixels) < 40) continue;
      window.firstPicture = performance.now();
      clearInterval(timer);
      return;
    }
  }, 25);
}

function median(values) {
  return values.toSorted((first, second) => first - second)[Math.floor(values.length / 2)];
}

function times(runs) {
  const seconds = runs.map((run) => run.seconds);
  return `${median(seconds).toFixed(1)} (${seconds.map((value) => value.toFixed(1)).join(', ')})`;
}

function megabytes(runs) {
  return `${(median(runs.map((run) => run.bytes)) / 1e6).toFixed(1)} MB`;
}
