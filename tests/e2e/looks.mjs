// Whether what must be seen is seen: one function for each sort of look, of what it finds on the page.
import { canvases, paneImage } from './page.mjs';
import { chroma, compare, fit, gridOf } from './pictures.mjs';

/** @returns {Promise<{right: boolean, seen: string}>} what a page shows, against what a look asks for */
export async function judge(page, look, selectors) {
  return JUDGES[look.sort](page, look, selectors);
}

const JUDGES = {
  async picture(page, look, { canvas }) {
    const drawn = await canvases(page, canvas);
    return judgePictures(drawn, look);
  },

  /** As on the screen, since contours are drawn beside the canvas. */
  async overlay(page, look, { canvas }) {
    const image = await paneImage(page, canvas);
    if (!image) return { right: false, seen: 'no canvas' };
    const [expected] = look.grids;
    const grid = gridOf(image, fit(image.width, image.height, look.aspects[0]), expected.length);
    const outside = compare(grid, expected, (y, x) => look.mask[y][x] < 5);
    const marked = [];
    grid.forEach((row, y) => row.forEach((cell, x) => look.mask[y][x] > 250 && marked.push(chroma(cell))));
    const coloured = marked.filter((value) => value > 12).length / marked.length;
    const right = outside.difference <= look.tolerance && coloured > 0.7;
    return { right, seen: `${say(outside)} outside, ${Math.round(coloured * 100)} % of the region coloured` };
  },

  async text(page, look, { panes }) {
    const seen = (await page.locator(panes).allInnerTexts()).join('\n');
    const lost = look.words.filter((word) => !seen.includes(word));
    return { right: lost.length === 0, seen: lost.length ? `without ${lost.join(', ')}` : 'all words' };
  },

  async video(page, look) {
    const drawn = await canvases(page, 'video');
    return judgePictures(drawn, look);
  },

  async document(page, look, { panes }) {
    const types = await page.locator(panes).locator('object, embed, iframe').evaluateAll((holders) =>
      Promise.all(
        holders.map(async (holder) => {
          const response = await fetch(holder.data ?? holder.src);
          return response.ok ? response.headers.get('content-type') : `status ${response.status}`;
        }),
      ),
    );
    return { right: types.some((type) => type?.startsWith(look.words[0])), seen: types.join(', ') || 'no document' };
  },
};

function judgePictures(drawn, look) {
  if (drawn.length !== look.grids.length) {
    return { right: false, seen: `${drawn.length} canvases, not ${look.grids.length}` };
  }
  const found = look.grids.map((expected, index) => {
    const image = drawn[index];
    return compare(gridOf(image, fit(image.width, image.height, look.aspects[index]), expected.length), expected);
  });
  const right = found.every(
    ({ difference, correlation }) => difference <= look.tolerance && correlation >= look.correlation,
  );
  return { right, seen: found.map(say).join('; ') };
}

const say = ({ difference, correlation }) => `difference ${difference.toFixed(1)}, correlation ${correlation.toFixed(3)}`;
