import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { type IpAddress, isV6, parseIp } from '@ambit/common/address/ip';
import { openNetns } from '@ambit/common/linux/netns';
import { connectSocket, socketIn } from '@ambit/common/linux/sockets';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import { netnsPath, type PodNetwork } from '../cluster.ts';
import { type FindObject, resolveEnvironment } from './environment.ts';
import { launchScript, type RoomMount } from './launch-script.ts';
import type { LogFile } from './log-file.ts';
import type { ProbeTarget } from './probe.ts';
import { execProcess, killGroup, type RunningProcess, startProcess } from './process.ts';
import type { ContainerSpec, PodSpec } from './spec.ts';
import type { VolumeSources } from './volumes.ts';

/** What every container of the machine is started with. */
export interface ContainerRoomDeps {
  readonly volumes: VolumeSources;
  /** Variables of every container, before its own. */
  readonly baseEnv: Readonly<Record<string, string>>;
  /** Search path of the mesh itself. */
  readonly path: string;
}

/** The part of a pod that its containers' rooms are made from. */
export interface RoomPod {
  readonly object: KubeObject;
  readonly spec: PodSpec;
  readonly network: PodNetwork | undefined;
  readonly folder: string;
}

/** How to start a container now: its process, or a sentence about what is missing. */
export function containerStarter(
  deps: ContainerRoomDeps,
  pod: RoomPod,
  spec: ContainerSpec,
): (log: LogFile) => RunningProcess | string {
  return (log) => {
    const environment = containerEnvironment(deps, pod, spec, deps.volumes.find);
    if (environment.kind === 'missing') return environment.message;
    const mounts = spec.mounts.flatMap((mount) => roomMount(pod, mount));
    const script = launchScript({
      hostname: pod.spec.hostname,
      podFolder: pod.folder,
      mounts,
      workingDir: spec.workingDir,
      path: environment.env['PATH'] ?? deps.path,
      newFolders: [...new Set(mounts.map((mount) => `/${mount.target.split('/')[1] ?? ''}`))].filter(
        (folder) => !existsSync(folder),
      ),
    });
    return startProcess({
      netns: pod.network?.netns,
      script,
      command: environment.command,
      env: environment.env,
      path: deps.path,
      onOutput: (chunk) => log.write(chunk),
    });
  };
}

/** How probes reach a container: its pod's address from inside its network namespace, which no redirect rule catches. */
export function probeTarget(
  deps: ContainerRoomDeps,
  pod: RoomPod,
  spec: ContainerSpec,
  process: RunningProcess,
): ProbeTarget {
  const host = pod.network?.addresses[0] ?? LOOPBACK;
  return {
    host,
    connect: (port) => connectInPod(pod, host, port),
    exec: async (command, timeoutMs) => {
      const environment = containerEnvironment(deps, pod, spec, deps.volumes.find);
      const env = environment.kind === 'ready' ? environment.env : deps.baseEnv;
      const child = execProcess({ pid: process.pid, command, env, workingDir: spec.workingDir, path: deps.path });
      let output = '';
      const collect = (chunk: Buffer): void => void (output.length < 1000 && (output += chunk.toString()));
      child.stdin?.end();
      child.stdout?.on('data', collect);
      child.stderr?.on('data', collect);
      const timer = setTimeout(() => killGroup(child.pid, 'SIGKILL'), timeoutMs);
      const exit = await child.exit;
      clearTimeout(timer);
      return { code: exit.code, output };
    },
  };
}

/** A socket that connects from inside the pod's network namespace. */
export function connectInPod(pod: RoomPod, host: IpAddress, port: number): Socket {
  const netns = pod.network === undefined ? undefined : openNetns(netnsPath(pod.network.netns));
  try {
    return connectSocket(socketIn(netns, { family: isV6(host) ? 6 : 4 }), { ip: host, port });
  } finally {
    netns?.close();
  }
}

/** The variables and command of a container, or what is missing for them. */
export function containerEnvironment(
  deps: ContainerRoomDeps,
  pod: RoomPod,
  spec: ContainerSpec,
  find: FindObject,
): ReturnType<typeof resolveEnvironment> {
  return resolveEnvironment(pod.object, spec, { ...deps.baseEnv, HOSTNAME: pod.spec.hostname }, find);
}

const loopback = parseIp('127.0.0.1');
if (loopback === undefined) throw new Error('127.0.0.1 is an address');
/** The node's own loopback, for pods in its network. */
export const LOOPBACK: IpAddress = loopback;

function roomMount(pod: RoomPod, mount: ContainerSpec['mounts'][number]): RoomMount[] {
  const volume = pod.spec.volumes.get(mount.volume);
  if (volume === undefined) return [];
  const base = volume.kind === 'host' ? volume.path : `volumes/${mount.volume}`;
  const source = mount.subPath === '' ? base : `${base}/${mount.subPath}`;
  return [
    { source, target: mount.path.replace(/\/+$/, '') || '/', readOnly: mount.readOnly || volume.kind === 'files' },
  ];
}
