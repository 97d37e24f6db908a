import type { Locator, Request } from '@playwright/test';

/**
 * Presses a button twice while the answer to the first press is held back. Returns all requests to `address`, including
 * later ones.
 */
export async function pressTwice(button: Locator, address: string): Promise<Request[]> {
  const sent: Request[] = [];
  let letGo = () => {};
  const isPressed = new Promise<void>((resolve) => (letGo = resolve));
  await button.page().route(address, async (route) => {
    sent.push(route.request());
    await isPressed;
    await route.continue();
  });
  await button.click({ clickCount: 2 });
  letGo();
  return sent;
}
