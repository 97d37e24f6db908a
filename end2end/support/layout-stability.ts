import { expect, type Locator, type Page } from '@playwright/test';

import { alive } from './alive';

/**
 * Chromium doesn't count shifts within half a second after a click. So every answer of the server is delayed by more
 * than that.
 */
const SLOW_ANSWER_MS = 600;
/** A page is quiet after so many frames without a request to the server and without a missing answer. */
const QUIET_FRAMES = 10;

type Shift = { value: number; moved: string[] };
/** The state that the page's `window` holds. */
type Watched = {
  /** Layout shifts since the time `since` of the page's own clock, in milliseconds. */
  shifts: Shift[];
  since: number;
  /** How many requests the page has sent, and how many answers have arrived. */
  asked: number;
  answered: number;
  /** Event streams. When one opens, the page asks the server again for its data. */
  streams: EventSource[];
};

/** Watches a page for layout shifts that no user input caused. */
export class LayoutStability {
  private constructor(readonly page: Page) {}

  /** Call this before the first page is opened. */
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
      // New text in a right-aligned place begins at another position. It hasn't moved, although Chromium reports a
      // shift in the frame that shows it. That frame is over when the second frame from here begins, even if Chromium
      // reports the shift later.
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

  /** Opens a page by its address, as after a reload, and checks that nothing moves. */
  async open(path: string) {
    await this.page.goto(path);
    await alive(this.page);
    await this.expectStill();
  }

  /**
   * Follows a link in the page and checks that nothing moves. Answers are so slow that the skeleton is seen first.
   * `heading` is a heading that only the new page has. The change from one page to the other is expected, whenever the
   * other page's script arrives; only shifts after it count. A page that sends no request to the server isn't tested,
   * because all its shifts follow the click at once.
   */
  async follow(link: Locator, heading: string, level = 1) {
    await this.page.evaluate(() => {
      const { watched, navigation } = window as unknown as { watched: Watched; navigation: EventTarget };
      // The address changes together with the page. The next frame is the first that shows it, and its layout is done
      // before the frame after it.
      const clear = () => {
        watched.shifts.length = 0;
        watched.since = performance.now();
      };
      const changed = () => requestAnimationFrame(() => requestAnimationFrame(clear));
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
    // No shift is allowed at all. Chromium ignores moves of less than 3 pixels, and one moving column would score below
    // any useful limit.
    expect.soft(shifts, `${this.page.url()} does not move`).toEqual([]);
  }
}
