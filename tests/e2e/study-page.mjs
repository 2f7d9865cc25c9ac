// Opens the study page in Chromium, and looks at it: node study-page.mjs TREE KINDS.json DIST [SCREENSHOTS]
//
// TREE is an archive with an object of each kind, KINDS.json says what the page offers for each: { description: [labels] }.
// DIST is a viewer, which is opened and not looked at; SCREENSHOTS a folder for pictures.
// A list of 20,000 made studies is measured: the time from its arrival to its first rows (at most 300 ms on a quiet
// machine), and that of a search (50 ms). The measures are printed as JSON; no check is of a time. STILLFRAME_BIN is the
// folder of the stillframe to use, CHROMIUM the browser, STILLFRAME_ONLY a word of the checks to run.
import axe from 'axe-core';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { freePort } from './hosts.mjs';
import { startBucket } from './study-bucket.mjs';
import { hostileStudies, makeStudies } from './study-lists.mjs';

const BIN = path.resolve(process.env.STILLFRAME_BIN ?? path.join(import.meta.dirname, '..', '..', '.venv', 'bin'));
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const [TREE, KINDS, DIST, SCREENSHOTS] = process.argv.slice(2);
const COUNT = 20_000;
const SEARCHES = [
  's',
  'smith',
  'müller anna',
  '山田',
  'やまだ',
  '2019',
  '2019-03..2020',
  'ct',
  'mod:mr knee',
  'P12345',
  'zzz',
];
const WINDOWS = [
  [1280, 800, 'light'],
  [1280, 800, 'dark'],
  [390, 844, 'light'],
  [390, 844, 'dark'],
];
const TOKEN = 'abcdefgh_IJKLMNOP-234567';

const stops = [];
const measures = {};
let failures = 0;

async function main() {
  const work = mkdtempSync(path.join(tmpdir(), 'stillframe-page-'));
  stops.push(() => rmSync(work, { recursive: true, force: true }));
  const large = writeList(path.join(work, 'large'), makeStudies(COUNT));
  const empty = writeList(path.join(work, 'empty'), []);
  const hostile = writeList(path.join(work, 'hostile'), hostileStudies());
  const broken = writeText(path.join(work, 'broken'), '[{"0020000D":{"vr":"UI","Value":["1.2"]}},');
  const damaged = writeText(path.join(work, 'damaged'), damage(readFileSync(path.join(large, 'studies/index.json'), 'utf8')));
  writeText(path.join(work, 'unlisted', TOKEN), JSON.stringify(makeStudies(1)));
  const origins = {};
  for (const [name, folder] of Object.entries({ kinds: TREE, large, empty, hostile, broken, damaged }))
    origins[name] = await serve(folder, DIST);
  origins.plain = await serve(TREE, '');
  const bucket = await startBucket(TREE, origins.kinds);
  stops.push(bucket.close);
  origins.bucket = bucket.url;

  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS });
  stops.push(() => browser.close());
  const at = (name, use, options) => () => withPage(browser, origins[name], use, options);

  await check('20,000 studies: the first rows, and searches', at('large', measure, { path: '/nowhere' }));
  await check('20,000 studies: rows in sight alone are in the document', at('large', scroll));
  await check('a search is found again by its address', at('large', reopen));
  await check('keys go through the list', at('kinds', pressKeys));
  await check('every kind is offered what fits', at('kinds', offerKinds));
  await check('a report is read, a video played, a model saved', at('kinds', openContents));
  await check('a row opens the viewer', at('kinds', openViewer));
  await check('who comes back finds the list as it was', at('large', comeBack));
  await check('the service root is copied', at('kinds', copyRoot));
  await check('without a viewer a row opens the series', at('plain', openSeries));
  await check(
    'the archive may be at another origin',
    at('kinds', (page, log) => readElsewhere(page, log, origins.plain), { path: '/nowhere' }),
  );
  await check('an unlisted root is read, and handed to the viewer', at('kinds', readUnlisted, { path: '/nowhere' }));
  await check(
    'an archive without studies says so',
    at('empty', (page) => expectNotice(page, 'No studies are published here yet.')),
  );
  await check(
    'a broken list says so',
    at('broken', (page) => expectNotice(page, /cannot be read from .*\/dicomweb\/studies\. .*Try again/)),
  );
  await check(
    'a long list with damage in two of its lines says so',
    at('damaged', (page) => expectNotice(page, '2 records of the list cannot be read in full.')),
  );
  await check('a list that is denied says so', at('kinds', denyList, { path: '/nowhere' }));
  await check('no text of a list is more than text', at('hostile', trustNothing));
  await check('on a bucket, under a path', at('bucket', readBucket, { path: 'index.html' }));
  await check('at every width all of a row is on the screen', at('large', measureWidths));
  for (const [width, height, scheme] of WINDOWS) {
    await check(`${width} pixels, ${scheme}: seen, and without a finding of axe`, () =>
      look(browser, origins, { width, height, scheme }),
    );
  }
}

async function measure(page) {
  const client = await page.context().newCDPSession(page);
  await client.send('Performance.enable', { timeDomain: 'threadTicks' }); // what the page took, whatever else ran
  await page.goto(page.url().replace('/nowhere', '/'));
  await page.waitForFunction(() => window.painted);
  measures.processorTime = Math.round(await processorTime(client));
  const times = await page.evaluate(() => ({
    ...window.painted,
    arrived: performance.getEntriesByType('resource').find(({ name }) => name.endsWith('/dicomweb/studies'))
      .responseEnd,
  }));
  measures.firstRows = Math.round(times.at - times.arrived);
  measures.blocked = Math.round(await page.evaluate(() => Math.max(0, ...window.longTasks)));
  measures.filter = {};
  measures.filterProcessorTime = {};
  for (const text of SEARCHES) {
    const before = await processorTime(client);
    measures.filter[text] = Math.round(await page.evaluate(timeSearch, text));
    measures.filterProcessorTime[text] = Math.round(((await processorTime(client)) - before) / 10); // five of it, five empty ones
  }
  measures.sort = Math.round(await page.evaluate(timeSort));
  assert.equal(await page.locator('#count').textContent(), `0 of ${COUNT.toLocaleString('en')} studies`);
}

/** Milliseconds that the page's thread has worked. */
async function processorTime(client) {
  const { metrics } = await client.send('Performance.getMetrics');
  return 1000 * metrics.find(({ name }) => name === 'TaskDuration').value;
}

/** The median of five: from the key to the picture of what it finds. */
async function timeSearch(text) {
  const input = document.getElementById('search');
  const times = [];
  for (let round = 0; round < 5; round += 1) {
    input.value = '';
    input.dispatchEvent(new Event('input'));
    await window.nextPaint();
    const start = performance.now();
    input.value = text;
    input.dispatchEvent(new Event('input'));
    await window.nextPaint();
    times.push(performance.now() - start);
  }
  return times.sort((one, other) => one - other)[2];
}

async function timeSort() {
  const start = performance.now();
  document.querySelector('.columns [data-column="description"] button').click();
  await window.nextPaint();
  return performance.now() - start;
}

async function scroll(page) {
  const count = page.locator('.row');
  await page.waitForSelector('.row');
  for (const part of [0.5, 0.123, 1, 0]) {
    await page.evaluate((part) => window.scrollTo(0, part * document.documentElement.scrollHeight), part);
    await page.waitForTimeout(150);
    assert.ok((await count.count()) < 60, 'few rows are in the document');
    const rows = await page.evaluate(() =>
      [...document.querySelectorAll('.row')].map((row) => Number(row.getAttribute('aria-rowindex'))),
    );
    assert.deepEqual(
      rows,
      rows.map((_, index) => rows[0] + index),
      'without a gap, in order',
    );
    const covered = await page.evaluate(() => {
      const boxes = [...document.querySelectorAll('.row')].map((row) => row.getBoundingClientRect());
      return (
        boxes.some(({ top }) => top < innerHeight * 0.7) &&
        boxes.at(-1).bottom >= Math.min(innerHeight, document.querySelector('.rows').getBoundingClientRect().bottom) - 1
      );
    });
    assert.ok(covered, 'rows fill the window');
  }
  assert.equal(await page.locator('#table').getAttribute('aria-rowcount'), String(COUNT + 1));
}

async function reopen(page) {
  await page.locator('#search').fill('yamada 太郎');
  await page.locator('.chip[data-modality="CT"]').click();
  await page.getByRole('button', { name: 'Patient ID', exact: true }).click();
  await page.waitForURL(/sort=id$/);
  const [url, count] = [page.url(), await page.locator('#count').textContent()];
  const [part, all] = count.match(/[\d,]+/g).map((number) => Number(number.replaceAll(',', '')));
  assert.ok(part > 0 && part < all, count);
  assert.match(decodeURIComponent(url), /#q=yamada\+太郎&modality=CT&sort=id$/);
  await page.goto('about:blank');
  await page.goto(url);
  await page.waitForSelector('.row');
  assert.equal(await page.locator('#count').textContent(), count);
  assert.equal(await page.locator('.columns [aria-sort="ascending"]').getAttribute('data-column'), 'id');
  await page.locator('#clear').click();
  assert.equal(await page.locator('#count').textContent(), `${COUNT.toLocaleString('en')} studies`);
}

async function pressKeys(page) {
  const focused = () =>
    page.evaluate(
      () => document.activeElement.closest('[data-uid]')?.getAttribute('aria-rowindex') ?? document.activeElement.id,
    );
  await page.waitForSelector('.row');
  await page.keyboard.press('/');
  assert.equal(await focused(), 'search');
  for (const [key, expected] of [
    ['ArrowDown', '2'],
    ['ArrowDown', '3'],
    ['ArrowUp', '2'],
    ['End', String(await page.locator('#table').getAttribute('aria-rowcount'))],
    ['Home', '2'],
    ['ArrowUp', 'search'],
  ]) {
    await page.keyboard.press(key);
    assert.equal(await focused(), expected, key);
  }
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowRight');
  assert.equal(await page.locator('.panel').count(), 1);
  assert.equal(await focused(), '2', 'the focus stays where it was');
  await page.keyboard.press('ArrowLeft');
  assert.equal(await page.locator('.panel').count(), 0);
}

async function offerKinds(page, log) {
  for (const [description, labels] of Object.entries(JSON.parse(readFileSync(KINDS, 'utf8')))) {
    const panel = await openPanel(page, description);
    const actions = panel.locator('.series').first().locator('.action');
    const offered = async () => (await actions.allTextContents()).map((text) => text.trim());
    for (const end = Date.now() + 60_000; Date.now() < end && String(await offered()) !== String(labels);)
      await page.waitForTimeout(50);
    assert.deepEqual(await offered(), labels, description);
    for (const href of await actions.evaluateAll((links) =>
      links.filter(({ href }) => href && !href.includes('viewer?')).map(({ href }) => href),
    )) {
      assert.equal((await page.request.head(href)).status(), 200, `${description}: ${href}`);
    }
  }
  assert.deepEqual(log.refused, [], 'nothing that is offered is missing');
}

async function openContents(page) {
  const report = await openPanel(page, 'structured report');
  await report.getByRole('button', { name: 'Read' }).click();
  const dialog = page.locator('dialog');
  await dialog.locator('.outline').first().waitFor();
  assert.match(await dialog.textContent(), /Diagnosis.*Completion.*COMPLETE.*Riesmeier, Jörg.*Diameter.*3 cm/s);
  await page.keyboard.press('Escape');
  assert.equal(await dialog.isVisible(), false);

  await report.getByRole('button', { name: 'Metadata' }).click();
  await dialog.locator('summary', { hasText: 'Concept Name Code Sequence' }).first().click();
  await dialog.getByText('(0008,0104) LO Code Meaning Diagnosis').waitFor();
  await page.keyboard.press('Escape');

  const cda = await openPanel(page, 'Encapsulated CDA');
  await cda.getByRole('button', { name: 'Read' }).click();
  await dialog.locator('.narrative').waitFor();
  assert.match(await dialog.textContent(), /Findings.*No <b>acute<\/b> fracture\..*Side.*left/s);
  assert.equal(await dialog.locator('.narrative b').count(), 0);
  await page.keyboard.press('Escape');

  const model = await openPanel(page, 'Encapsulated STL');
  const [saved] = await Promise.all([
    page.waitForEvent('download'),
    model.getByRole('button', { name: 'Download STL' }).click(),
  ]);
  assert.match(saved.suggestedFilename(), /^[0-9.]+\.stl$/);
  assert.equal(readFileSync(await saved.path()).length, 2000);

  const video = await openPanel(page, 'video');
  await video.getByRole('button', { name: 'Play' }).click();
  await dialog.locator('video').waitFor({ state: 'attached' });
  assert.match(await dialog.locator('video').getAttribute('src'), /\/rendered$/);
  await page.keyboard.press('Escape');

  const image = await openPanel(page, 'image');
  await image.getByRole('button', { name: 'Instances' }).click();
  await image.getByRole('button', { name: 'Metadata' }).click();
  await dialog.locator('.elements').first().waitFor();
  assert.match(await dialog.textContent(), /\(0010,0010\) PN Patient's Name Sample\^One/);
}

async function openViewer(page) {
  await search(page, 'image');
  await page.getByRole('link', { name: /Sample, One/ }).click();
  await page.waitForURL(/\/viewer\?StudyInstanceUIDs=[0-9.]+$/);
  await page.goBack();
  await search(page, 'slide');
  await page
    .locator('.row')
    .first()
    .click({ position: { x: 700, y: 20 } }); // anywhere on the row
  await page.waitForURL(/\/microscopy\?StudyInstanceUIDs=[0-9.]+$/);
}

async function comeBack(page) {
  await page.waitForSelector('.row');
  await page.evaluate(() => window.scrollTo(0, 500_000));
  await page.waitForTimeout(300);
  const first = await page.locator('.row').nth(10).getAttribute('data-uid');
  await page.goto(new URL('/viewer', page.url()).href);
  await page.goBack();
  await page.waitForSelector(`[data-uid="${first}"]`);
  assert.equal(await page.evaluate(() => window.scrollY), 500_000);
}

async function copyRoot(page) {
  await page.waitForSelector('.row');
  await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined })); // as plain HTTP has it
  await page.locator('#copy-root').click();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  await page.locator('#search').focus();
  await page.keyboard.press('Control+V');
  assert.equal(await page.locator('#search').inputValue(), new URL('/dicomweb', page.url()).href);
}

async function openSeries(page) {
  await search(page, 'image');
  await page
    .locator('.row')
    .first()
    .click({ position: { x: 700, y: 20 } });
  await page.locator('.panel .series').waitFor();
  await page.waitForURL(/open=[0-9.]+$/);
  assert.equal(await page.locator('#worklist').count(), 0);
  assert.equal(await page.locator('.panel a[href*="viewer"]').count(), 0);
}

async function readElsewhere(page, log, other) {
  const root = `${other}/dicomweb`;
  await page.route('**/service.js', (route) =>
    route.fulfill({ contentType: 'text/javascript', body: `window.stillframe = { root: ${JSON.stringify(root)} };` }),
  );
  await page.goto(page.url().replace('/nowhere', '/'));
  await page.waitForSelector('.row img');
  assert.equal(await page.locator('#service-root').textContent(), root);
  const foreign = await page.evaluate(() =>
    fetch('http://127.0.0.1:9/studies').then(
      () => '',
      (error) => error.message,
    ),
  );
  assert.ok(foreign, 'no third origin can be asked');
  await page.waitForTimeout(500); // what breaks the policy is told a moment later
  assert.deepEqual(log.policy, ['connect-src'], 'and it is the policy that forbids it');
  log.policy.length = 0;
}

async function readBucket(page, log) {
  const root = page.url().replace(/\/index\.html$/, '');
  await page.waitForSelector('.row img');
  assert.equal(await page.locator('#service-root').textContent(), root);
  const panel = await openPanel(page, 'structured report');
  await panel.getByRole('button', { name: 'Read' }).click();
  await page.locator('dialog .outline').first().waitFor();
  await page.keyboard.press('Escape');
  const link = await panel.getByRole('link', { name: 'Open in the viewer' }).evaluate(({ href }) => href);
  assert.ok(link.startsWith(`${root}/viewer?StudyInstanceUIDs=`), link);
  const list = await panel.getByRole('link', { name: 'series' }).evaluate(({ href }) => href);
  assert.ok(list.startsWith(`${root}/studies/`), list);
  assert.deepEqual(log.refused, []);
}

async function readUnlisted(page) {
  const [study] = makeStudies(1);
  await page.route(`**/dicomweb/${TOKEN}/studies`, (route) =>
    route.fulfill({ contentType: 'application/dicom+json', body: JSON.stringify([study]) }),
  );
  await page.goto(page.url().replace('/nowhere', `/?root=${TOKEN}`));
  await page.waitForSelector('.row');
  const uid = study['0020000D'].Value[0];
  assert.match(
    await page.locator('.row a.open').getAttribute('href'),
    new RegExp(`^\\w+\\?StudyInstanceUIDs=${uid}&root=${TOKEN}$`),
  );
  assert.equal(await page.locator('#worklist').getAttribute('href'), `worklist?root=${TOKEN}`);
  await page.goto(page.url().replace(TOKEN, '..%2f..%2fsecret'));
  await expectNotice(page, /cannot be one/);
}

async function denyList(page) {
  await page.route('**/dicomweb/studies', (route) => route.fulfill({ status: 403, body: '<Error/>' }));
  await page.goto(page.url().replace('/nowhere', '/'));
  await expectNotice(page, /denied, or it is not there \(403\)/);
  await page.unroute('**/dicomweb/studies');
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.waitForSelector('.row');
}

async function trustNothing(page, log) {
  await page.waitForSelector('.row');
  assert.match(await page.locator('#notice').textContent(), /^2 records of the list cannot be read/);
  const names = await page.locator('.row .open').allTextContents();
  assert.ok(names.includes('<img src=x onerror=alert(1)>, </script><script>alert(2)</script>'), names.join('\n'));
  assert.equal(await page.locator('.rows script, .rows [onerror]').count(), 0);
  assert.equal(
    await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
    true,
    'nothing is wider than the window',
  );
  for (const button of await page.locator('.disclose').all()) await button.click();
  await page.waitForTimeout(300);
  assert.deepEqual(log.errors, []);
  assert.deepEqual(log.dialogs, []);
}

async function measureWidths(page) {
  await page.waitForSelector('.row');
  for (const width of [320, 360, 480, 735, 737, 820, 927, 929, 1024, 1215, 1217, 1280, 1920, 2560]) {
    await page.setViewportSize({ width, height: 800 });
    await page.waitForTimeout(150);
    const outside = await page.evaluate(() => {
      const { left, right } = document.getElementById('table').getBoundingClientRect();
      const boxes = [...document.querySelectorAll('.row .cell, .columns .cell, .disclose, .top > *')].map((element) => [
        element.className,
        element.getBoundingClientRect(),
      ]);
      const late = boxes
        .filter(([, box]) => box.width > 0 && (box.left < left - 1 || box.right > right + 1))
        .map(([name]) => name);
      const heights = [...document.querySelectorAll('.row')].map((row) => row.getBoundingClientRect());
      const isOverlapping = heights.some(
        ({ bottom }, index) => index && heights[index - 1].bottom > heights[index].top + 1 && bottom,
      );
      return [
        ...new Set(late),
        ...(isOverlapping ? ['rows overlap'] : []),
        ...(document.documentElement.scrollWidth > innerWidth ? ['the page is wider'] : []),
      ];
    });
    assert.deepEqual(outside, [], `${width} pixels`);
  }
}

async function look(browser, origins, { width, height, scheme }) {
  const options = { width, height, scheme };
  const shoot = async (page, name) =>
    SCREENSHOTS && page.screenshot({ path: path.join(SCREENSHOTS, `study-page-${name}-${width}-${scheme}.png`) });
  await withPage(
    browser,
    origins.large,
    async (page) => {
      await page.waitForSelector('.row');
      assert.equal(
        await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
        true,
        'nothing is wider than the window',
      );
      assert.ok(
        await page.evaluate(() => {
          const { left, right } = document.querySelector('.row .open').getBoundingClientRect();
          return left >= 0 && right <= innerWidth && right - left > 60;
        }),
        'the link that opens a study is on the screen',
      );
      await shoot(page, 'large');
      await findNothing(page);
      await page.locator('#search').fill('太郎 ct');
      await page.waitForTimeout(100);
      await shoot(page, 'search');
      await page.locator('#search').fill('no such study');
      await findNothing(page);
    },
    options,
  );
  await withPage(
    browser,
    origins.kinds,
    async (page) => {
      await page.waitForSelector('.row img');
      await page.waitForTimeout(300);
      await shoot(page, 'kinds');
      const panel = await openPanel(page, 'structured report');
      await panel.getByRole('button', { name: 'Read' }).waitFor();
      await shoot(page, 'panel');
      await findNothing(page);
      await panel.getByRole('button', { name: 'Read' }).click();
      await page.locator('dialog .outline').first().waitFor();
      await shoot(page, 'report');
      await findNothing(page);
    },
    options,
  );
  await withPage(
    browser,
    origins.broken,
    async (page) => {
      await page.waitForSelector('.notice.failure');
      await findNothing(page);
    },
    options,
  );
}

/** axe-core finds nothing, by any of its rules. */
async function findNothing(page) {
  const { violations } = await page.evaluate(`(() => { ${axe.source}; return axe.run(); })()`);
  assert.deepEqual(
    violations.map(({ id, nodes }) => [
      id,
      nodes.map(({ html, failureSummary }) => [html.slice(0, 160), failureSummary]),
    ]),
    [],
  );
}

async function expectNotice(page, text) {
  await page.waitForFunction(
    () => !document.getElementById('notice').hidden && !document.querySelector('.notice.waiting'),
  );
  const found = await page.locator('#notice').textContent();
  if (text instanceof RegExp) assert.match(found, text);
  else assert.equal(found, text);
}

async function search(page, text) {
  await page.waitForSelector('#search', { state: 'visible' });
  await page.locator('#search').fill(`desc:"${text}"`);
  await page.waitForSelector('.row');
}

async function openPanel(page, description) {
  await search(page, description);
  const row = page.locator('.row', { has: page.getByTitle(description, { exact: true }) });
  if ((await row.locator('.panel').count()) === 0) await row.locator('.disclose').click();
  const panel = row.locator('.panel');
  await panel.locator('.series').first().waitFor();
  return panel;
}

/** A fresh page at an origin, and what happens there: errors, refusals of what the page asks for, policies broken. */
async function withPage(
  browser,
  origin,
  use,
  { width = 1280, height = 800, scheme = 'light', path: where = '/' } = {},
) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    isMobile: width < 500,
    hasTouch: width < 500,
    deviceScaleFactor: width < 500 ? 2 : 1,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const log = { errors: [], refused: [], policy: [], dialogs: [] };
  page.on('pageerror', (error) => log.errors.push(error.message));
  page.on('dialog', (dialog) => {
    log.dialogs.push(dialog.message());
    dialog.dismiss();
  });
  // A picture that is not there is a 404 of its own: lists do not say which there are.
  page.on(
    'response',
    (response) =>
      response.status() >= 400 && !/\/thumbnail$|\/nowhere$/.test(response.url()) && log.refused.push(response.url()),
  );
  await page.exposeFunction('tellPolicy', (directive) => log.policy.push(directive));
  await page.addInitScript(watch);
  await page.route('**/ohif/**', (route) => route.fulfill({ contentType: 'text/javascript', body: '' })); // no viewer runs
  try {
    await page.goto(origin + where);
    await use(page, log);
    assert.deepEqual([log.errors, log.policy], [[], []], 'no error, and nothing that the policy forbids');
  } finally {
    await context.close();
  }
}

function watch() {
  window.nextPaint = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  window.longTasks = [];
  new PerformanceObserver((list) =>
    window.longTasks.push(...list.getEntries().map(({ duration }) => duration)),
  ).observe({ type: 'longtask' });
  new PerformanceObserver(() => window.nextPaint().then(() => (window.painted ??= { at: performance.now() }))).observe({
    type: 'mark',
  });
  document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) =>
    window.tellPolicy(effectiveDirective),
  );
}

function writeList(folder, records) {
  return writeText(folder, `[${records.map((record) => JSON.stringify(record)).join(',\n')}]`); // as archives write it
}

/** A list of which two lines hold no JSON, which is not seen where lines are parted. */
function damage(text) {
  const lines = text.split(',\n');
  for (const index of [10_000, 19_000]) lines[index] = lines[index].replace(/\]\}\}$/, '}}');
  return lines.join(',\n');
}

function writeText(folder, text) {
  mkdirSync(path.join(folder, 'studies'), { recursive: true });
  writeFileSync(path.join(folder, 'studies', 'index.json'), text);
  return folder;
}

async function serve(tree, viewer) {
  const port = await freePort();
  const args = ['serve', tree, '--port', String(port), ...(viewer ? ['--viewer', viewer] : [])];
  const server = spawn(path.join(BIN, 'stillframe'), args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = new Promise((resolve) => server.once('exit', resolve));
  stops.push(async () => {
    server.kill('SIGTERM');
    await exited;
  });
  const origin = `http://127.0.0.1:${port}`;
  for (let waited = 0; waited < 60_000; waited += 100) {
    assert.equal(server.exitCode, null, 'stillframe serve ended');
    if (
      await fetch(`${origin}/service.js`).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return origin;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('stillframe serve does not answer');
}

async function check(title, body) {
  if (!title.includes(process.env.STILLFRAME_ONLY ?? '')) return;
  const start = Date.now();
  try {
    await body();
    console.error(`ok   ${title} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures += 1;
    console.error(`FAIL ${title}\n     ${String(error.stack ?? error).replaceAll('\n', '\n     ')}`);
  }
}

async function stopAll() {
  while (stops.length) await stops.pop()();
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stopAll().finally(() => process.exit(1)));

try {
  await main();
} finally {
  await stopAll();
}
console.log(JSON.stringify(measures, null, 2));
process.exitCode = failures ? 1 : 0;
