// Opens a site on every kind of host in Chromium, and fails where a page asks for something that is missing, is refused
// by its own policy, or shows no picture: node site.mjs OHIF_DIST. test_site.py runs it.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { FLAGS, findChromium, startHosts, watchPicture } from './site-hosts.mjs';

const ROUTES = ['viewer', 'segmentation', 'basic', 'tmtv'];
const TIMEOUT_MS = 120_000;
const RESULTS = path.join(import.meta.dirname, 'results');

mkdirSync(RESULTS, { recursive: true });
const hosts = await startHosts(process.argv[2]);
const browser = await chromium.launch({ executablePath: findChromium(), headless: true, args: FLAGS });
let failures = 0;
try {
  const [study] = hosts.studies;
  for (const [name, site] of Object.entries(hosts.sites)) {
    await check(name, `${site}index.html`, async (page) => {
      await page.waitForFunction(() => window.stillframe?.root, null, { timeout: TIMEOUT_MS });
      const studies = await page.evaluate(async () => (await fetch(`${window.stillframe.root}/studies`)).json());
      assert.equal(studies.length, hosts.studies.length);
    });
    for (const route of ROUTES) {
      const shows = route === 'viewer' || route === 'basic' || route === 'segmentation';
      await check(name, `${site}${route}?StudyInstanceUIDs=${study}`, async (page) => {
        if (shows) {
          await page.waitForFunction(() => window.firstPicture, null, { timeout: TIMEOUT_MS, polling: 100 });
          // Chromium keeps what is compiled; whatever a second start would do wrong is told by the page.
          await page.waitForFunction(() => performance.getEntriesByName('stillframe-ran-again').length, null, { timeout: TIMEOUT_MS });
        } else await page.getByText('OHIF').or(page.locator('.cornerstone-canvas')).first().waitFor({ timeout: TIMEOUT_MS }).catch(() => {});
      });
    }
    await check(name, `${site}worklist`, (page) => page.getByText('Sample').first().waitFor({ timeout: TIMEOUT_MS }));
    await check(name, `${site}microscopy?StudyInstanceUIDs=${study}`, async (page) => {
      await page.waitForFunction(() => window.config && window.PUBLIC_URL, null, { timeout: TIMEOUT_MS });
      const loaded = await page.evaluate(async () => {
        await window.browserImportFunction(`${window.PUBLIC_URL}dicom-microscopy-viewer/dicomMicroscopyViewer.min.js`);
        return typeof window.dicomMicroscopyViewer;
      });
      assert.equal(loaded, 'object');
    });
  }
} finally {
  await browser.close();
  await hosts.stop();
}
process.exitCode = failures ? 1 : 0;

async function check(host, url, look) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  const wrong = [];
  const own = new URL(url).origin;
  page.on('response', (response) => {
    if (response.status() >= 400 && !response.url().includes('/thumbnail')) wrong.push(`${response.status()} ${response.url()}`);
  });
  page.on('requestfailed', (request) => {
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') wrong.push(`${request.failure()?.errorText} ${request.url()}`);
  });
  page.on('request', (request) => {
    if (/^https?:/.test(request.url()) && new URL(request.url()).origin !== own) wrong.push(`elsewhere: ${request.url()}`);
  });
  page.on('console', (message) => {
    if (/Content Security Policy/.test(message.text())) wrong.push(message.text());
  });
  await page.addInitScript(watchPicture);
  const started = performance.now();
  try {
    await page.goto(url, { waitUntil: 'commit' });
    await look(page);
    assert.deepEqual(wrong, []);
    console.log(`ok   ${host} ${new URL(url).pathname} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures += 1;
    await page.screenshot({ path: path.join(RESULTS, `site-${host}-${failures}.png`) }).catch(() => {});
    console.log(`FAIL ${host} ${url}\n     ${String(error.message).replaceAll('\n', '\n     ')}\n     ${wrong.join('\n     ')}`);
  } finally {
    await context.close();
  }
}
