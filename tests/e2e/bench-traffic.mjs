// What a page asks of an archive: requests for frames, the size of what each names, and the bytes that arrive of it.

const IS_FRAME = /\/instances\/[^/]+\/(reduced\/\d+\/)?frames\/\d+$/;

export async function watchFrames(page, { isCached = true } = {}) {
  const session = await page.context().newCDPSession(page);
  const requests = new Map();
  const pending = new Set();
  let last = Date.now();
  await session.send('Network.enable');
  if (!isCached) await session.send('Network.setCacheDisabled', { cacheDisabled: true });
  session.on('Network.requestWillBeSent', ({ requestId, request }) => {
    if (!IS_FRAME.test(request.url)) return;
    requests.set(requestId, { url: request.url, range: request.headers.Range, bytes: 0 });
    pending.add(requestId);
    last = Date.now();
  });
  session.on('Network.responseReceived', ({ requestId, response }) => {
    const request = requests.get(requestId);
    if (request) request.size = sizeOf(response);
  });
  session.on('Network.dataReceived', ({ requestId, dataLength }) => {
    const request = requests.get(requestId);
    if (request) request.bytes += dataLength;
  });
  for (const event of ['Network.loadingFinished', 'Network.loadingFailed']) {
    session.on(event, ({ requestId }) => {
      if (pending.delete(requestId)) last = Date.now();
    });
  }
  const all = () => [...requests.values()];
  return {
    all,
    bytes: () => all().reduce((sum, { bytes }) => sum + bytes, 0),
    /** How long nothing has been asked for, and nothing was on its way. */
    quietMs: () => (pending.size ? 0 : Date.now() - last),
    clear() {
      requests.clear();
      last = Date.now();
    },
  };
}

/** Of the whole object, whatever part of it was asked for; undefined of an error. */
function sizeOf({ status, headers }) {
  const values = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  if (status === 206) return Number(values['content-range'].split('/')[1]);
  return status === 200 ? Number(values['content-length']) : undefined;
}
