import AxeBuilder from '@axe-core/playwright';
import { expect, type Page } from '@playwright/test';

const WCAG_22_AA = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const WITHOUT_SCRIPTS = /\(scripting:\s*none\)/g;

/**
 * Checks that the current page breaks no rule of WCAG 2.2 AA that axe can check, in the dark and in the light theme.
 */
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
 * Checks the accessibility of the page as a browser without JavaScript shows it. Axe is a script itself, so this
 * function opens the page in a browser that runs scripts. It removes the page's own scripts from the document and
 * applies the style rules for browsers without scripts.
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

/** Waits until no transition runs. Even with reduced motion, a colour changes only in the next frame. */
async function coloursHaveChanged(page: Page) {
  await page.evaluate(async () => {
    const transitions = () => document.getAnimations().filter((animation) => animation instanceof CSSTransition);
    do {
      await Promise.allSettled(transitions().map((transition) => transition.finished));
      await new Promise(requestAnimationFrame);
    } while (transitions().length);
  });
}
