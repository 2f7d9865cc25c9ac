// How long it takes from the address of a study to its first picture, in a fresh profile and then for a second study,
// on a line of 30 Mbit/s and 10 ms: node first-picture.mjs OHIF_DIST. RUNS=3 says how often, HOSTS="serve nginx bucket"
// where. Prints a table of medians; the processor time is that of the browser up to the picture.
import { loadavg } from 'node:os';
import { startChromium } from './plain-chromium.mjs';
import { startHosts, watchPicture } from './site-hosts.mjs';
import { startSlowLine } from './slow-line.mjs';

const RUNS = Number(process.env.RUNS ?? 3);
const LINE = { megabits: 30, milliseconds: 10 };
const LIMITS = { fresh: 4, second: 2 }; // seconds
const TIMEOUT_MS = 120_000;
const LOOK_MS = 5000; // a reader looks at it: what is loaded meanwhile is in the cache

const { sites, studies, stop } = await startHosts(process.argv[2]);
const names = process.env.HOSTS?.split(' ') ?? Object.keys(sites);
const runs = Object.fromEntries(names.map((name) => [name, []]));
let slow = false;
try {
  for (let run = 0; run < RUNS; run++) for (const name of names) runs[name].push(await measure(sites[name], studies));
  console.log(`${LINE.megabits} Mbit/s, ${LINE.milliseconds} ms; seconds to the first picture, median of ${RUNS} (all)`);
  console.log(`load ${loadavg().map((value) => value.toFixed(1)).join(', ')}`);
  console.log('| host | fresh profile | second study | processor, fresh | second | bytes, fresh | second |');
  console.log('|---|---|---|---|---|---|---|');
  for (const name of names) {
    const [fresh, second] = [runs[name].map((run) => run.fresh), runs[name].map((run) => run.second)];
    slow ||= middle(fresh, 'seconds') > LIMITS.fresh || middle(second, 'seconds') > LIMITS.second;
    const cells = [fresh, second].map(times);
    const processor = [fresh, second].map((all) => `${middle(all, 'processor').toFixed(1)} s`);
    const bytes = [fresh, second].map((all) => `${(middle(all, 'bytes') / 1e6).toFixed(1)} MB`);
    console.log(`| ${[name, ...cells, ...processor, ...bytes].join(' | ')} |`);
  }
} finally {
  await stop();
}
process.exitCode = slow ? 1 : 0;

async function measure(site, studies) {
  const line = await startSlowLine(new URL(site).origin, LINE);
  const browser = await startChromium(watchPicture);
  try {
    const base = line.origin + new URL(site).pathname;
    const results = [];
    for (const study of studies) {
      const [before, worked] = [line.bytes(), await browser.processorTimes()];
      const page = await browser.open(`${base}viewer?StudyInstanceUIDs=${study}`);
      const seconds = (await page.until('window.firstPicture', TIMEOUT_MS)) / 1000;
      const [bytes, working] = [line.bytes() - before, await browser.processorTimes()];
      const processor = [...working].reduce((sum, [id, time]) => sum + time - (worked.get(id) ?? 0), 0);
      results.push({ seconds, bytes, processor });
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      await page.close();
    }
    return { fresh: results[0], second: results[1] };
  } finally {
    await browser.close();
    await line.close();
  }
}

function middle(runs, key) {
  return runs.map((run) => run[key]).toSorted((first, second) => first - second)[Math.floor(runs.length / 2)];
}

function times(runs) {
  return `${middle(runs, 'seconds').toFixed(1)} (${runs.map((run) => run.seconds.toFixed(1)).join(', ')})`;
}
