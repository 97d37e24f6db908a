import type { BrowserContext, ConsoleMessage } from '@playwright/test';

/** Notes all that a browser complains about; whatever was not expected fails the test. */
export class Watch {
  private complaints: string[] = [];
  private expected: RegExp[] = [
    // A debug build's WebAssembly has 16 MB: on a busy machine it is not used within the seconds that a browser expects.
    /vwaza[^/]*\.wasm was preloaded using link preload but not used/,
    // A session may end, or get another token, while the page's stream of events is being opened.
    /status of 401 \(Unauthorized\) \(\S+\/api\/events\)/,
  ];

  context(context: BrowserContext) {
    context.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.complaints.push(words(message));
    });
    context.on('weberror', (error) => this.complaints.push(`${error.error().stack ?? error.error()}`));
  }

  /** A browser reports every refusal and every broken line in its console: a test that wants one says so. */
  expect(complaint: RegExp) {
    this.expected.push(complaint);
  }

  unexpected(): string[] {
    return this.complaints.filter((complaint) => !this.expected.some((expected) => expected.test(complaint)));
  }
}

function words(message: ConsoleMessage): string {
  return `${message.type()}: ${message.text()} (${message.location().url})`;
}
