import { expect, type Page } from '@playwright/test';

import { alive } from '../support/alive';

/** The review queue, and the page of a release that waits for review. */
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
    // Until the answer is there, the list is the one before.
    await expect(this.page.getByText('1 release found')).toBeVisible();
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

  /** Approves with the button, and confirms the warnings. */
  async approve() {
    await this.verdict().getByRole('button', { name: 'Approve' }).click();
    await this.confirmWarnings();
  }

  /** Approves with the keyboard, and confirms the warnings. */
  async approveByKey() {
    await this.page.keyboard.press('a');
    await expect(this.page.getByRole('button', { name: 'Approve anyway' })).toBeFocused();
    await this.page.keyboard.press('Enter');
  }

  /** Rejects with one of the quick reasons. */
  async reject(reason: string) {
    await this.page.keyboard.press('r');
    const reasons = this.page.getByRole('dialog', { name: 'Reject this release' });
    await reasons.getByRole('checkbox', { name: reason }).check();
    await reasons.getByRole('button', { name: 'Reject with this reason' }).click();
  }

  async confirmWarnings() {
    await this.page.getByRole('dialog').getByRole('button', { name: 'Approve anyway' }).click();
  }
}
