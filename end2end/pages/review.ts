import { expect, type Page } from '@playwright/test';

import { alive } from '../support/alive';

/** The queue, and one release under review. */
export class Review {
  constructor(readonly page: Page) {}

  async openQueue() {
    await this.page.goto('/review');
    await alive(this.page);
  }

  async search(words: string) {
    await this.page.getByRole('searchbox').fill(words);
    await this.page.getByRole('searchbox').press('Enter');
    await expect(this.page).toHaveURL(/[?&]q=/);
  }

  /** Finds a release in the queue and opens it. */
  async find(title: string) {
    await this.openQueue();
    await this.search(title);
    await this.page.getByRole('link', { name: title, exact: true }).click();
    await this.expectRelease(title);
  }

  async open(id: string) {
    await this.page.goto(`/review/${id}`);
    await alive(this.page);
  }

  async expectRelease(title: string) {
    await expect(this.page.getByRole('heading', { name: title, level: 1 })).toBeVisible();
    await alive(this.page);
  }

  verdict() {
    return this.page.getByRole('region', { name: 'Verdict' });
  }

  /** Asks to approve, by button; what the warnings are about is answered with "yes". */
  async approve() {
    await this.verdict().getByRole('button', { name: 'Approve' }).click();
    await this.confirmWarnings();
  }

  async confirmWarnings() {
    await this.page.getByRole('dialog').getByRole('button', { name: 'Approve anyway' }).click();
  }
}
