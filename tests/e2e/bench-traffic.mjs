// What a page asks of an archive: requests for frames, and the bytes of their bodies as they arrive.

const IS_FRAME = /\/instances\/[^/]+\/(reduced\/\d+\/)?frames\/\d+$/;

export async function watchFrames(page, { isCached = true } = {}) {
  const session = await page.context().newCDPSession(page);
  const requests = new Map();
  await session.send('Network.enable');
  if (!isCached) await session.send('Network.setCacheDisabled', { cacheDisabled: true });
  session.on('Network.requestWillBeSent', ({ requestId, request, timestamp }) => {
    if (IS_FRAME.test(request.url)) requests.set(requestId, { url: request.url, range: request.headers.Range, bytes: 0, timestamp });
  });
  session.on('Network.dataReceived', ({ requestId, dataLength }) => {
    const request = requests.get(requestId);
    if (request) request.bytes += dataLength;
  });
  const all = () => [...requests.values()];
  return {
    all,
    bytes: () => all().reduce((sum, { bytes }) => sum + bytes, 0),
    clear: () => requests.clear(),
  };
}
