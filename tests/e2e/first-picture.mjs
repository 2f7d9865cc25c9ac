// How long it takes from the address of a study to its first picture, in a fresh profile and then for a second study,
// on a line of 30 Mbit/s and 10 ms: node first-picture.mjs OHIF_DIST. RUNS=3 says how often. Prints a table of medians.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { FLAGS, findChromium, startHosts, watchPicture } from './site-hosts.mjs';
import { startSlowLine } from './slow-line.mjs';

const RUNS = Number(process.env.RUNS ?? 3);
const LINE = { megabits: 30, milliseconds: 10 };
const LIMITS = { fresh: 4, second: 2 }; // seconds
const TIMEOUT_MS = 120_000;

const { sites, studies, stop } = await startHosts(process.argv[2]);
let slow = false;
try {
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
  await stop();
}
process.exitCode = slow ? 1 : 0;

async function measure(site, studies) {
  const line = await startSlowLine(new URL(site).origin, LINE);
  const profile = mkdtempSync(path.join(tmpdir(), 'stillframe-profile-'));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: findChromium(), headless: true, args: FLAGS, viewport: { width: 1280, height: 800 },
  });
  try {
    const base = line.origin + new URL(site).pathname;
    const results = [];
    for (const study of studies) {
      const before = line.bytes();
      const page = await browser.newPage();
      await page.addInitScript(watchPicture);
      await page.goto(`${base}viewer?StudyInstanceUIDs=${study}`, { waitUntil: 'commit' });
      await page.waitForFunction(() => window.firstPicture, null, { timeout: TIMEOUT_MS, polling: 50 });
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
