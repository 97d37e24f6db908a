import type { BrowserContext, Page } from '@playwright/test';

declare global {
  interface Window {
    isAlive?: boolean;
  }
}

const scripted = new WeakSet<BrowserContext>();

/**
 * A page is complete before its script runs; what is clicked in between works as a plain form. A test that is about the live
 * page waits for it: the router's listener is the sign, since everything else is set up in the same stroke.
 */
export async function tellWhenAlive(context: BrowserContext) {
  scripted.add(context);
  await context.addInitScript(() => {
    const listen = window.addEventListener;
    window.addEventListener = function (this: Window, ...args: Parameters<typeof listen>) {
      if (args[0] === 'popstate') setTimeout(() => (window.isAlive = true));
      return listen.apply(this, args);
    } as typeof listen;
  });
}

/** Returns at once in a browser without JavaScript, where nothing comes alive. */
export async function alive(page: Page) {
  if (scripted.has(page.context())) await page.waitForFunction(() => window.isAlive === true);
}
