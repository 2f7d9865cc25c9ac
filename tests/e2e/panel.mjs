// What OHIF asks a bare bucket for to show its panel of series, and the series of a row of its study list:
// node panel.mjs OHIF_DIST SOURCES STUDY DISPLAY_SETS. It prints the requests for thumbnails as JSON, and how many
// pictures the panel shows. test_panel.py runs it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { startBucket } from './hosts.mjs';
import * as ohif from './ohif.mjs';
import { FLAGS, findChromium } from './viewers.mjs';
import { sleep } from './wait.mjs';

const [dist, sources, study, displaySets] = process.argv.slice(2);
const TIMEOUT_MS = 120_000;
const QUIET_MS = 5_000;

const stops = [];
try {
  const work = mkdtempSync(path.join(tmpdir(), 'stillframe-panel-'));
  stops.push(() => rmSync(work, { recursive: true, force: true }));
  const { bases } = await startBucket({ sources, viewers: { ohif: dist }, stops, work });
  const browser = await chromium.launch({ executablePath: findChromium(), headless: true, args: FLAGS });
  stops.push(() => browser.close());
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 1600 } })).newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  const asked = [];
  let last = Date.now();
  page.on('response', (response) => {
    if (!response.url().includes('/thumbnail')) return;
    asked.push({ path: new URL(response.url()).pathname.replace(/.*\/studies\//, 'studies/'), status: response.status() });
    last = Date.now();
  });
  const quiet = async () => {
    last = Date.now();
    while (Date.now() - last < QUIET_MS) await sleep(250);
  };

  await page.goto(`${bases.ohif}${ohif.ADDRESSES.list}`);
  await page.getByText('the panel', { exact: true }).first().click();
  await quiet();
  const list = asked.splice(0);

  await page.goto(`${bases.ohif}${ohif.ADDRESSES.viewer}?StudyInstanceUIDs=${study}`);
  const pictures = page.locator(`${ohif.SERIES} img`);
  await page.locator(ohif.SERIES).nth(Number(displaySets) - 1).waitFor({ state: 'attached' });
  await quiet();
  const drawn = await pictures.evaluateAll((images) => images.filter(({ naturalWidth }) => naturalWidth > 0).length);
  console.log(JSON.stringify({ list, panel: asked, entries: await page.locator(ohif.SERIES).count(), drawn }));
} finally {
  while (stops.length) await stops.pop()();
}
