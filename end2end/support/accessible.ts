import AxeBuilder from '@axe-core/playwright';
import { expect, type Page } from '@playwright/test';

const WCAG_22_AA = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

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

/** Frames to wait for at most: something may always move. */
const FRAMES_MAX = 60;

/** Even without motion a colour changes with the next frame, which on a busy machine is late. */
async function coloursHaveChanged(page: Page) {
  await page.evaluate(async (framesMax) => {
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    const changes = () => document.getAnimations().some((animation) => animation instanceof CSSTransition);
    await frame();
    for (let frames = 1; frames < framesMax && changes(); frames++) await frame();
  }, FRAMES_MAX);
}
