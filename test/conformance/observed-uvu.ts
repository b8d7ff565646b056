import { appendFileSync } from 'node:fs';
import * as uvu from 'uvu';

/** One line of the report. */
export interface ObservedTest {
  readonly name: string;
  readonly passed: boolean;
}

function report(name: string, passed: boolean): void {
  const file = process.env['CONFORMANCE_REPORT'];
  const line: ObservedTest = { name, passed };
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(line)}\n`);
}

const observed =
  <T>(name: string, body: uvu.Callback<T>): uvu.Callback<T> =>
  async (context) => {
    try {
      await body(context);
    } catch (error) {
      report(name, false);
      throw error;
    }
    report(name, true);
  };

function wrap<T>(original: uvu.Test<T>): uvu.Test<T> {
  const test = (name: string, body: uvu.Callback<T>): void => original(name, observed(name, body));
  return Object.assign(test, {
    run: () => original.run(),
    before: original.before,
    after: original.after,
    skip: (name: string, body: uvu.Callback<T>): void => original.skip(name, body),
    only: (name: string, body: uvu.Callback<T>): void => original.only(name, observed(name, body)),
  });
}

export const test: uvu.Test = wrap(uvu.test);
export const suite = <T>(title?: string, context?: T): uvu.Test<T> => wrap(uvu.suite(title, context));
export const exec: typeof uvu.exec = uvu.exec;
