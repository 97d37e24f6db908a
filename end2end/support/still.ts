import { expect, type Locator, type Page } from '@playwright/test';

import { alive } from './alive';

/** What follows a click within half a second is what it was for, and is not counted by Chromium: so all that is asked for comes later. */
const SLOW_ANSWER_MS = 600;
/** What a page does by itself once it is alive, it does within so many frames. */
const FRAMES = 10;

type Shift = { value: number; moved: string[] };
/** Kept in the page: what has moved in it since a moment of its own clock, in milliseconds. */
type Watched = { shifts: Shift[]; since: number };

/** Watches a page for what moves although nobody has touched it. */
export class Stillness {
  private constructor(readonly page: Page) {}

  /** Before the first page is opened. */
  static async watch(page: Page): Promise<Stillness> {
    await page.addInitScript(() => {
      const watched: Watched = { shifts: [], since: 0 };
      Object.assign(window, { watched });
      type Source = { node?: Node; previousRect: DOMRect; currentRect: DOMRect };
      type Entry = PerformanceEntry & { value: number; hadRecentInput: boolean; sources: Source[] };
      const place = ({ x, y, width, height }: DOMRect) => [x, y, width, height].map(Math.round).join(' ');
      // Other words at the right of their place begin elsewhere; they have not moved, though Chromium says so.
      const rewritten = new WeakMap<Node, number>();
      const remember = (changes: MutationRecord[]) =>
        changes.forEach(({ target }) => rewritten.set(target, performance.now()));
      new MutationObserver(remember).observe(document, { characterData: true, subtree: true });
      new PerformanceObserver((list) => {
        for (const { value, startTime, hadRecentInput, sources } of list.getEntries() as Entry[]) {
          if (hadRecentInput || startTime < watched.since) continue;
          const isOld = (node?: Node) => startTime - ((node && rewritten.get(node)) ?? -Infinity) > 1000;
          const movers = sources.filter(({ node }) => isOld(node));
          if (sources.length && !movers.length) continue;
          const moved = movers.map(({ node, previousRect, currentRect }) => {
            const element = node instanceof Element ? node : node?.parentElement;
            return `${element?.outerHTML.slice(0, 120)}: ${place(previousRect)} to ${place(currentRect)}`;
          });
          watched.shifts.push({ value, moved });
        }
      }).observe({ type: 'layout-shift', buffered: true });
    });
    return new Stillness(page);
  }

  /** By its address, as after a reload. */
  async open(path: string) {
    await this.page.goto(path);
    await alive(this.page);
    await this.expectStill();
  }

  /**
   * By a link in the page, on a line so slow that the page's shape is seen first. `heading` is one that only the other page has. That
   * the one page gives way to the other is what the click was for, whenever the other's script is there; what moves then is not. Says
   * nothing of a page that asks the server for nothing: all of that follows the click at once.
   */
  async follow(link: Locator, heading: string, level = 1) {
    await this.page.evaluate(() => {
      const { watched, navigation } = window as unknown as { watched: Watched; navigation: EventTarget };
      // The address changes with the page. The next frame is the first to show it, and is laid out before the one after.
      const forget = () => {
        watched.shifts.length = 0;
        watched.since = performance.now();
      };
      const changed = () => requestAnimationFrame(() => requestAnimationFrame(forget));
      navigation.addEventListener('currententrychange', changed, { once: true });
    });
    await this.page.route(/\/(api|pkg)\/(?!events)/, async (route) => {
      await new Promise((resolve) => setTimeout(resolve, SLOW_ANSWER_MS));
      await route.continue();
    });
    await link.click();
    await expect(this.page.getByRole('heading', { name: heading, level, exact: true })).toBeVisible();
    await expect(this.page.locator('.skeleton')).toHaveCount(0);
    await this.page.unrouteAll({ behavior: 'wait' });
    await this.expectStill();
  }

  private async expectStill() {
    const shifts = await this.page.evaluate(async (frames) => {
      await document.fonts.ready;
      await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
      for (let frame = 0; frame < frames; frame++) await new Promise(requestAnimationFrame);
      return (window as unknown as { watched: Watched }).watched.shifts;
    }, FRAMES);
    // Nothing at all: less than 3 pixels are no shift to Chromium anyway, and one column that moves scores below any limit worth the name.
    expect.soft(shifts, `${this.page.url()} does not move`).toEqual([]);
  }
}
