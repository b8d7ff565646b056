import { type Command, EXIT } from '../command.ts';

/** `ambit down`. */
export const down: Command = {
  name: 'down',
  summary: 'End the mesh of this machine and remove everything that runs; certificates and addresses are kept.',
  examples: [['end it', 'ambit down']],
  async run({ out, context }): Promise<number> {
    const { stopMesh } = await import('@ambit/standalone/down');
    let waitingFor = 'ending the mesh';
    const clock = setInterval(() => out.progress(waitingFor), 200);
    const result = await stopMesh({
      stateDir: context.stateDir,
      onProgress: (message) => (waitingFor = message),
    }).finally(() => {
      clearInterval(clock);
      out.endProgress();
    });
    for (const sentence of result.removed) out.line(sentence);
    if (!result.running && result.removed.length === 0) out.line('no mesh was running, nothing was left of one');
    else if (result.running) out.line(`the mesh has ended${result.forced ? ', by force' : ''}`);
    return EXIT.ok;
  },
};
