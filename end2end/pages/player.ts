import { expect, type Page } from '@playwright/test';

/** The one audio element, and the bar that shows it. */
export class Player {
  constructor(readonly page: Page) {}

  bar() {
    return this.page.getByRole('region', { name: 'Player' });
  }

  seconds(): Promise<number> {
    return this.page.locator('audio').first().evaluate((audio) => (audio as HTMLAudioElement).currentTime);
  }

  isPaused(): Promise<boolean> {
    return this.page.locator('audio').first().evaluate((audio) => (audio as HTMLAudioElement).paused);
  }

  async expectTrack(title: string) {
    await expect(this.bar().getByText(title, { exact: true })).toBeVisible();
  }

  /** Sound comes out: time passes in the element itself. */
  async expectProgress() {
    const start = await this.seconds();
    await expect.poll(() => this.seconds()).toBeGreaterThan(start + 0.3);
  }
}
