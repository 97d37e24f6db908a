import { expect, type Locator, type Page } from '@playwright/test';

import { alive } from './alive';

/** What follows a click within half a second is what it was for, and is not counted by Chromium: so all that is asked for comes later. */
const SLOW_ANSWER_MS = 600;
/** A page that has asked the server for nothing in so many frames, and has every answer, does nothing more by itself. */
const QUIET_FRAMES = 10;

type Shift = { value: number; moved: string[] };
/** Kept in the page. */
type Watched = {
  /** What has moved since a moment of the page's own clock, in milliseconds. */
  shifts: Shift[];
  since: number;
  /** How often it has asked the server for something, and how many of these answers are here. */
  asked: number;
  answered: number;
  /** Streams of events; one that opens makes the page ask anew for what it shows. */
  streams: EventSource[];
};

/** Watches a page for what moves although nobody has touched it. */
export class LayoutStability {
  private constructor(readonly page: Page) {}

  /** Before the first page is opened. */
  static async watch(page: Page): Promise<LayoutStability> {
    await page.addInitScript(() => {
      const watched: Watched = { shifts: [], since: 0, asked: 0, answered: 0, streams: [] };
      Object.assign(window, { watched });
      const ask = window.fetch;
      window.fetch = (...request) => {
        const answer = ask(...request);
        const { pathname } = new URL(request[0] instanceof Request ? request[0].url : request[0], location.href);
        if (pathname.startsWith('/api/')) {
          const answered = () => watched.answered++;
          watched.asked++;
          answer.then((response) => response.clone().text()).then(answered, answered);
        }
        return answer;
      };
      window.EventSource = class extends EventSource {
        constructor(...source: ConstructorParameters<typeof EventSource>) {
          super(...source);
          watched.streams.push(this);
        }
      };
      type Source = { node?: Node; previousRect: DOMRect; currentRect: DOMRect };
      type Entry = PerformanceEntry & { value: number; hadRecentInput: boolean; sources: Source[] };
      const place = ({ x, y, width, height }: DOMRect) => [x, y, width, height].map(Math.round).join(' ');
      // Other words at the right of their place begin elsewhere; they have not moved, though Chromium says so in the frame that shows
      // them. That frame is over when the second one from here begins, however late Chromium tells of it.
      const rewritten = new WeakMap<Node, { from: number; until: number }[]>();
      const remember = (changes: MutationRecord[]) => {
        for (const { target } of changes) {
          const shown = { from: performance.now(), until: Infinity };
          rewritten.set(target, [...(rewritten.get(target) ?? []), shown]);
          requestAnimationFrame(() => requestAnimationFrame(() => (shown.until = performance.now())));
        }
      };
      new MutationObserver(remember).observe(document, { characterData: true, subtree: true });
      const isRewritten = (node: Node | undefined, at: number) =>
        node && rewritten.get(node)?.some(({ from, until }) => from <= at && at <= until);
      new PerformanceObserver((list) => {
        for (const { value, startTime, hadRecentInput, sources } of list.getEntries() as Entry[]) {
          if (hadRecentInput || startTime < watched.since) continue;
          const movers = sources.filter(({ node }) => !isRewritten(node, startTime));
          if (sources.length && !movers.length) continue;
          const moved = movers.map(({ node, previousRect, currentRect }) => {
            const element = node instanceof Element ? node : node?.parentElement;
            return `${element?.outerHTML.slice(0, 120)}: ${place(previousRect)} to ${place(currentRect)}`;
          });
          watched.shifts.push({ value, moved });
        }
      }).observe({ type: 'layout-shift', buffered: true });
    });
    return new LayoutStability(page);
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
    const shifts = await this.page.evaluate(async (quietFrames) => {
      const { watched } = window as unknown as { watched: Watched };
      const isAsking = () =>
        watched.answered < watched.asked || watched.streams.some(({ readyState }) => readyState === EventSource.CONNECTING);
      let asked = -1;
      for (let quiet = 0; quiet < quietFrames; quiet++) {
        if (isAsking() || watched.asked !== asked) {
          quiet = 0;
          asked = watched.asked;
          await document.fonts.ready;
          await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
        }
        await new Promise(requestAnimationFrame);
      }
      return watched.shifts;
    }, QUIET_FRAMES);
    // Nothing at all: less than 3 pixels are no shift to Chromium anyway, and one column that moves scores below any limit worth the name.
    expect.soft(shifts, `${this.page.url()} does not move`).toEqual([]);
  }
}
