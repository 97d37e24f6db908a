import type { Page } from '@playwright/test';

/** How fast a page may send: on a line like a person's, progress stands long enough to be read. */
export async function slowUploads(page: Page, bytesPerSecond: number) {
  const devtools = await page.context().newCDPSession(page);
  const limit = (uploadThroughput: number) =>
    devtools.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
  await devtools.send('Network.enable');
  await limit(bytesPerSecond);
  const restore = async () => {
    await limit(-1);
    await devtools.detach();
  };
  return { restore };
}
