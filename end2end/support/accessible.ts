import AxeBuilder from '@axe-core/playwright';
import { expect, type Page } from '@playwright/test';

const WCAG_22_AA = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const WITHOUT_SCRIPTS = /\(scripting:\s*none\)/g;

/** The page as it is now breaks no rule of WCAG 2.2 AA that a machine can check, by day and by night. */
export async function expectAccessible(page: Page) {
  for (const colorScheme of ['dark', 'light'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await coloursHaveChanged(page);
    const { violations } = await new AxeBuilder({ page }).withTags(WCAG_22_AA).analyze();
    const found = violations.map(({ id, help, nodes }) => ({ id, help, where: nodes.map((node) => node.html) }));
    expect(found, `accessibility of ${page.url()}, ${colorScheme}`).toEqual([]);
  }
}

/**
 * The same of a page as somebody without JavaScript has it. Axe is a script itself: so the page is opened in a browser that runs
 * scripts, which gets the document without its own and the style sheet as if there were none.
 */
export async function expectAccessibleWithoutScripts(page: Page) {
  const browser = page.context().browser();
  if (!browser) throw new Error('the page belongs to no browser');
  const storageState = await page.context().storageState();
  const context = await browser.newContext({ storageState, viewport: page.viewportSize(), javaScriptEnabled: true });
  let styles = '';
  await context.route('**', async (route) => {
    const kind = route.request().resourceType();
    if (kind !== 'document' && kind !== 'stylesheet') return route.continue();
    const response = await route.fetch();
    const text = await response.text();
    if (kind === 'stylesheet') styles += text;
    const body = kind === 'document' ? withoutScripts(text) : text.replace(WITHOUT_SCRIPTS, '(scripting: enabled)');
    return route.fulfill({ response, body });
  });
  try {
    const copy = await context.newPage();
    await copy.goto(page.url());
    await expect(copy.locator('script, noscript')).toHaveCount(0);
    expect(styles, 'the style sheet knows of browsers without scripts').toMatch(WITHOUT_SCRIPTS);
    await expectAccessible(copy);
  } finally {
    await context.close();
  }
}

function withoutScripts(html: string): string {
  const scripts = /<script\b[^>]*>[\s\S]*?<\/script>|<link\b[^>]*\b(?:modulepreload|as="fetch"|as="script")[^>]*>/g;
  return html.replace(scripts, '').replace(/<\/?noscript\b[^>]*>/g, '');
}

/** Waits until no transition runs: even without motion a colour changes with the next frame only. */
async function coloursHaveChanged(page: Page) {
  await page.evaluate(async () => {
    const transitions = () => document.getAnimations().filter((animation) => animation instanceof CSSTransition);
    do {
      await Promise.allSettled(transitions().map((transition) => transition.finished));
      await new Promise(requestAnimationFrame);
    } while (transitions().length);
  });
}
