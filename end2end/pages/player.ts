import { expect, type Page } from '@playwright/test';

/** The player: its audio element and its bar. */
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

  /** Checks that the player plays: time passes in the audio element. */
  async expectProgress() {
    const start = await this.seconds();
    await expect.poll(() => this.seconds()).toBeGreaterThan(start + 0.3);
  }
}
