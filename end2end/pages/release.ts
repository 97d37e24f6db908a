import { expect, type Page } from '@playwright/test';

import { alive } from '../support/alive';

/** The page of a release, as its artist sees it. */
export class ReleasePage {
  constructor(
    readonly page: Page,
    readonly id: string,
  ) {}

  async open() {
    await this.page.goto(`/releases/${this.id}`);
    await alive(this.page);
  }

  status() {
    return this.page.locator('.release-state').getByRole('status');
  }

  async expectStatus(status: 'Draft' | 'Examining' | 'Waiting for review' | 'Published' | 'Rejected') {
    // A debug build examines long masters slowly.
    await expect(this.status()).toHaveText(status, { timeout: 60_000 });
  }

  reason() {
    return this.page.locator('.release-state blockquote');
  }

  timeline() {
    return this.page.getByRole('region', { name: 'What happened' });
  }
}
