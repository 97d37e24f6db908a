import { type BrowserContext, expect, type Page } from '@playwright/test';

const scripted = new WeakSet<BrowserContext>();

/** Marks a context whose pages run scripts. */
export function runsScripts(context: BrowserContext) {
  scripted.add(context);
}

/**
 * Waits until the page is hydrated. A page is complete before its script runs, and a click in between works as a plain
 * form, so a test of the live page has to wait. Returns at once in a browser without JavaScript.
 */
export async function alive(page: Page) {
  if (scripted.has(page.context())) await expect(page.locator('html')).toHaveAttribute('data-alive');
}
