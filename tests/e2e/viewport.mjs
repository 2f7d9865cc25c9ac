// What a page shows and what it requested. The first two functions run inside the page.

/** The image of the first viewport once it has the wanted quality, else null. Both viewers expose `cornerstone`. */
export async function inspectViewport(quality) {
  const viewport = window.cornerstone?.getRenderingEngines?.()[0]?.getViewports()[0];
  const imageId = viewport?.getCurrentImageId?.();
  const image = imageId && window.cornerstone.cache.getImage(imageId);
  if (!image || image.imageQualityStatus !== quality) return null;
  const values = Int32Array.from(image.voxelManager?.getScalarData?.() ?? image.getPixelData());
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', values));
  const components = values.length / (image.columns * image.rows);
  const means = new Array(components).fill(0);
  values.forEach((value, index) => (means[index % components] += (value * components) / values.length));
  return {
    columns: image.columns,
    rows: image.rows,
    means,
    sha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join(''),
  };
}

/** Notes in `window.shownQualities` when the first viewport draws an image of another quality. */
export function recordQuality() {
  window.shownQualities = [];
  let firstRequest;
  const { fetch } = window;
  window.fetch = (resource, ...rest) => {
    if (String(resource).includes('/frames/')) firstRequest ??= performance.now();
    return fetch.call(window, resource, ...rest);
  };
  setInterval(() => {
    const quality = window.cornerstone?.getRenderingEngines?.()[0]?.getViewports()[0]?.csImage?.imageQualityStatus;
    if (quality === undefined || quality === window.shownQualities.at(-1)?.quality) return;
    window.shownQualities.push({ quality, ms: Math.round(performance.now() - firstRequest) });
  }, 10);
}

/** The page's responses from the tree, its failed requests, and the errors its scripts throw. */
export function watchTraffic(page, origin) {
  const traffic = { responses: [], failures: [], errors: [] };
  page.on('pageerror', (error) => traffic.errors.push(error.message));
  page.on('response', (response) => {
    const url = response.url();
    if (!url.startsWith(`${origin}/`)) return;
    if (response.status() >= 400) traffic.failures.push(`${response.status()} ${url}`);
    if (url.includes('/dicomweb/')) traffic.responses.push({ url, type: response.headers()['content-type'] ?? '' });
  });
  page.on('requestfailed', (request) => {
    const url = request.url();
    const reason = request.failure()?.errorText;
    // Viewers leave a stream once they have all bytes of it, and Chromium calls that aborted.
    const left = reason === 'net::ERR_ABORTED' && url.includes('/frames/');
    if (url.startsWith(`${origin}/`) && !left) traffic.failures.push(`${reason} ${url}`);
  });
  return traffic;
}
