import { type BrowserContext, expect, type Page } from '@playwright/test';

const scripted = new WeakSet<BrowserContext>();

/** For a context whose pages come alive. */
export function runsScripts(context: BrowserContext) {
  scripted.add(context);
}

/**
 * A page is complete before its script runs; what is clicked in between works as a plain form. A test that is about the live
 * page waits for it. Returns at once in a browser without JavaScript, where nothing comes alive.
 */
export async function alive(page: Page) {
  if (scripted.has(page.context())) await expect(page.locator('html')).toHaveAttribute('data-alive');
}
