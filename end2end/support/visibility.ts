import type { Page } from '@playwright/test';

/**
 * Shows or hides the page, as if another tab were closed or opened in front of it. A headless browser treats all pages
 * as visible.
 */
export function look(page: Page, isSeen: boolean) {
  return page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
  }, !isSeen);
}
