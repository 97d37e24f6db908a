import type { Page } from '@playwright/test';

/** As if another tab were in front of it, or no longer: a browser without a screen shows all of them. */
export function look(page: Page, isSeen: boolean) {
  return page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
  }, !isSeen);
}
