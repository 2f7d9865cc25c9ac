// OHIF as a person uses it: by a study's address, from the list of studies, from the panel of series, by its layouts.
/** Paths below the site's base. `list` is OHIF's own list of studies. */
export const ADDRESSES = { list: 'worklist', viewer: 'viewer', microscopy: 'microscopy' };

/** What is drawn of images, and what all that is not drawn on a canvas is shown in. */
export const CANVAS = '[data-cy="viewport-pane"] canvas.cornerstone-canvas';
export const SLIDE = 'div.ol-layer canvas';
export const PANES = '[data-cy="viewport-grid"]';
const TOAST = '[data-sonner-toast]';
export const SERIES = '[data-cy^="study-browser-thumbnail"]';

/** Takes away what OHIF shows a new user, once in a browser's profile. */
export async function greet(page, base, study) {
  await page.goto(`${base}${ADDRESSES.viewer}?StudyInstanceUIDs=${study}`);
  for (const name of ['Confirm and hide', 'Skip all']) {
    const button = page.getByText(name);
    await button.click({ timeout: 30_000 }).catch(() => {});
  }
}

/** Opens a study in the way that a view asks for. */
export async function open(page, base, sample, view) {
  if (view.opened === 'list') return openFromList(page, base, sample, view);
  const route = view.opened === 'microscopy' ? ADDRESSES.microscopy : ADDRESSES.viewer;
  await page.goto(`${base}${route}?StudyInstanceUIDs=${sample.study}`);
  if (view.opened === 'series') await openSeries(page, view.series);
  if (view.opened === 'mpr') await openPlanes(page);
}

async function openFromList(page, base, sample, { typed }) {
  await page.goto(base + ADDRESSES.list);
  const row = page.getByText(sample.name, { exact: true }).first();
  // The list is long and sorted by date: what is typed has to bring the row, and to take others away.
  await page.locator('input').first().fill(typed);
  await page.getByText('1-1 of 1').waitFor();
  // A fifth of a second after the last key OHIF writes the filter into the address, and comes back to the list for that
  // where a study was opened before. No person is so quick.
  await page.waitForURL((url) => [...url.searchParams.values()].includes(typed));
  await row.dblclick();
  await page.waitForURL((url) => url.search.includes(sample.study));
}

async function openSeries(page, description) {
  const entry = page.locator(SERIES, { hasText: description }).first();
  await entry.waitFor();
  // The panel takes double clicks once the first series is in its viewport.
  await page.locator(`${PANES} [data-cy="viewport-pane"]`).first().waitFor();
  await page.waitForTimeout(1000);
  await entry.dblclick();
}

async function openPlanes(page) {
  await page.locator(CANVAS).first().waitFor();
  await page.locator('[data-cy="Layout"]').click();
  await page.getByText('MPR', { exact: true }).first().click();
}

/** The messages that OHIF shows in a corner. */
export async function toasts(page) {
  return page.locator(TOAST).allInnerTexts();
}
