/**
 * Preloaded into test processes (`node --import`): reports the name and the result of every test to the file named by
 * CONFORMANCE_REPORT, one JSON line each. Only `uvu` is wrapped; tests do not know.
 */
import { registerHooks } from 'node:module';

const WRAPPER = new URL('./observed-uvu.ts', import.meta.url).href;

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'uvu' && context.parentURL !== WRAPPER
      ? { url: WRAPPER, format: 'module-typescript', shortCircuit: true }
      : next(specifier, context),
});
