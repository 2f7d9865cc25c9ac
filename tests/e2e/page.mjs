// What a page does while it is looked at: what it asks for, what fails, what it draws.

/** Requests and errors of a page, until the next `begin()`. */
export class Traffic {
  constructor(page) {
    this.begin();
    page.on('request', () => (this.last = Date.now()));
    page.on('pageerror', (error) => this.errors.push(error.message));
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) this.errors.push(message.text().split('\n')[0]);
    });
    page.on('response', (response) => {
      this.last = Date.now();
      if (response.status() >= 400) this.failures.push({ status: response.status(), url: response.url() });
    });
    page.on('requestfinished', () => (this.last = Date.now()));
    page.on('requestfailed', (request) => {
      this.last = Date.now();
      const reason = request.failure()?.errorText;
      // Viewers leave a stream once they have all of it, and Chromium calls that aborted, as what a page leaves behind.
      if (reason !== 'net::ERR_ABORTED') this.failures.push({ status: reason, url: request.url() });
    });
  }

  begin() {
    this.failures = [];
    this.errors = [];
    this.last = Date.now();
  }

  /** What went wrong, as lines; `missing(url)` tells what is known not to be there. */
  complaints(missing) {
    const failures = this.failures.filter(({ status, url }) => !(status === 404 && missing(url)));
    return [
      ...failures.map(({ status, url }) => `${status} ${url}`),
      ...this.errors.map((error) => `error in the page: ${error}`),
    ];
  }
}

/** What canvases or videos show, from left to right, as images of 4 bytes a pixel; only those that can be seen. */
export async function canvases(page, selector) {
  return (await page.evaluate(readPixels, { selector })).map(toImage);
}

/** The first canvas as it is on the screen, with what lies over it; null without one. */
export async function paneImage(page, selector) {
  const canvas = page.locator(selector).first();
  const clip = (await canvas.count()) ? await canvas.boundingBox() : null;
  if (!clip) return null;
  const png = (await page.screenshot({ clip })).toString('base64');
  return toImage((await page.evaluate(readPixels, { png }))[0]);
}

const toImage = ({ width, height, base64 }) => ({ width, height, data: Buffer.from(base64, 'base64') });

/** Inside the page: the pixels of a picture, or of all that a selector finds, reduced to sides of at most 480. */
async function readPixels({ selector, png }) {
  const largest = 480;
  if (png) {
    const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
    return [pixelsOf(await createImageBitmap(new Blob([bytes], { type: 'image/png' })))];
  }
  return [...document.querySelectorAll(selector)]
    .filter((element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }))
    .filter((element) => (element.videoWidth ?? element.width) > 1)
    .sort((one, other) => one.getBoundingClientRect().left - other.getBoundingClientRect().left)
    .map(pixelsOf);

  function pixelsOf(source) {
    const [width, height] = [source.videoWidth ?? source.width, source.videoHeight ?? source.height];
    const scale = Math.min(1, largest / Math.max(width, height));
    const copy = new OffscreenCanvas(Math.round(width * scale), Math.round(height * scale));
    const context = copy.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(source, 0, 0, copy.width, copy.height);
    const { data } = context.getImageData(0, 0, copy.width, copy.height);
    let text = '';
    for (let start = 0; start < data.length; start += 32768) {
      text += String.fromCharCode(...data.subarray(start, start + 32768));
    }
    return { width: copy.width, height: copy.height, base64: btoa(text) };
  }
}
