import type { BrowserContext, ConsoleMessage } from '@playwright/test';

/** Records all errors and warnings in the browser's console. An unexpected one fails the test. */
export class Watch {
  private complaints: string[] = [];
  private expected: RegExp[] = [
    // The WebAssembly of a debug build has 16 MB. A busy machine doesn't use it within the seconds that the browser
    // allows.
    /vwaza[^/]*\.wasm was preloaded using link preload but not used/,
    // A session may end, or get another token, while the page opens its event stream. An open stream makes the page look
    // for changes that it missed.
    /status of 401 \(Unauthorized\) \(\S+\/api\/(events|releases\/home)\)/,
  ];

  context(context: BrowserContext) {
    context.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.complaints.push(words(message));
    });
    context.on('weberror', (error) => this.complaints.push(`${error.error().stack ?? error.error()}`));
  }

  /**
   * Declares an expected message. A browser reports every refused request and every broken connection in its console.
   */
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
