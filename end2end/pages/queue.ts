import { expect, type Page } from '@playwright/test';

import { alive } from '../support/alive';

/** The page of jobs: the search for them, and the dead letters. */
export class Queue {
  constructor(readonly page: Page) {}

  async open() {
    await this.page.goto('/admin/queue');
    await expect(this.page.getByRole('heading', { name: 'Jobs', level: 1 })).toBeVisible();
    await alive(this.page);
  }

  /** One row for each kind of job. */
  jobs() {
    return this.page.getByRole('table', { name: 'Unfinished jobs by kind' });
  }

  letter(file: string) {
    return this.page.getByRole('table', { name: 'Dead letters, the latest first' }).getByRole('row').filter({ hasText: file });
  }

  /** The time of a file's last failure, from the server, because the page may be a moment behind. */
  async failedAt(file: string): Promise<string | undefined> {
    const answer = await this.page.request.post('/api/queue/view', { form: { letters: '' } });
    const letters: { file_name: string; failed_at: unknown }[] = (await answer.json()).dead_letters.rows;
    const found = letters.find((letter) => letter.file_name === file);
    return found && JSON.stringify(found.failed_at);
  }

  async retry(file: string, clickCount = 1) {
    await this.page.getByRole('button', { name: `Retry “${file}”` }).click({ clickCount });
  }

  /** Clicks on "Discard" and answers the dialog. */
  async discard(file: string, answer: 'Discard the file' | 'Keep it') {
    await this.page.getByRole('button', { name: `Discard “${file}”` }).click();
    const dialog = this.page.getByRole('dialog', { name: 'Discard this file' });
    await expect(dialog).toContainText(`“${file}” is deleted permanently.`);
    await dialog.getByRole('button', { name: answer }).click();
    await expect(dialog).toBeHidden();
  }

  selection(file: string) {
    return this.letter(file).getByRole('checkbox', { name: `Select “${file}”` });
  }

  /** The files that were found, one row each. */
  found() {
    return this.page.getByRole('table', { name: 'Jobs, the latest first' }).getByRole('row');
  }

  async find(text: string) {
    await this.page.getByLabel("File name's beginning, artist, release or id").fill(text);
    await this.page.getByRole('button', { name: 'Find jobs' }).click();
    await expect(this.page.getByRole('heading', { name: 'Find a job', level: 1 })).toBeVisible();
  }
}
