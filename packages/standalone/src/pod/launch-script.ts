/** What a container's process sees of the machine differently from its neighbours. */
export interface ContainerRoom {
  readonly hostname: string;
  /** Folder on this machine with `etc/resolv.conf`, `etc/hosts` and `volumes/`. */
  readonly podFolder: string;
  readonly mounts: readonly RoomMount[];
  readonly workingDir: string;
  /** The container's own search path, set last: what comes before needs the mesh's. */
  readonly path: string;
  /** Top-level folders that mounts need and the machine does not have. */
  readonly newFolders: readonly string[];
}

export interface RoomMount {
  /** Under the pod's folder, or an absolute path of the machine. */
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/**
 * The shell text that a container's process runs before it becomes the container's command: in a mount and UTS namespace of its own it
 * gets a private /run, its resolv.conf, hosts and volumes, and changes to its working directory. Nothing of it is seen outside.
 */
export function launchScript(room: ContainerRoom): string {
  return [
    'set -e',
    // without root only the system call may set the name, not the file
    `hostname ${quote(room.hostname)} 2>/dev/null || echo ${quote(room.hostname)} 2>/dev/null > /proc/sys/kernel/hostname || :`,
    ...(room.newFolders.length > 0 ? newRoot(room) : [privateRun('', room.podFolder)]),
    ...(room.newFolders.length > 0 ? [] : [placeAll(room), start(room)]),
  ].join('\n');
}

/** Mounts a private /run under `root`, with the pod's folder where `place` finds it. */
const privateRun = (root: string, podFolder: string): string =>
  [
    `mount -t tmpfs -o mode=755 tmpfs ${quote(`${root}/run`)}`,
    `mkdir ${quote(`${root}${POD}`)}`,
    `mount --bind ${quote(podFolder)} ${quote(`${root}${POD}`)}`,
  ].join('\n');

const POD = '/run/.pod';

/** The root folder itself cannot get new entries, so the process moves into a copy of it that has them. */
const newRoot = (room: ContainerRoom): string[] => [
  'new=/run/.root',
  'mkdir -p $new',
  'mount -t tmpfs -o mode=755 tmpfs $new',
  'for entry in /* /.[!.]*; do',
  '  case "$entry" in /run | "/.[!.]*") continue ;; esac',
  '  if [ -L "$entry" ]; then ln -s "$(readlink "$entry")" "$new$entry"',
  '  elif [ -d "$entry" ]; then mkdir "$new$entry"; mount --rbind "$entry" "$new$entry"',
  '  else : > "$new$entry"; mount --bind "$entry" "$new$entry"; fi',
  'done',
  'mkdir $new/run',
  privateRun('/run/.root', room.podFolder),
  ...room.newFolders.map((folder) => `mkdir -p ${quote(`/run/.root${folder}`)}`),
  `exec chroot $new sh -c ${quote(['set -e', placeAll(room), start(room)].join('\n'))} sh "$@"`,
];

const placeAll = (room: ContainerRoom): string =>
  [
    PLACE,
    `place ${POD}/etc/resolv.conf "$(readlink -f /etc/resolv.conf || echo /etc/resolv.conf)"`,
    `place ${POD}/etc/hosts "$(readlink -f /etc/hosts || echo /etc/hosts)"`,
    ...room.mounts.map((mount) => {
      const source = mount.source.startsWith('/') ? mount.source : `${POD}/${mount.source}`;
      return `place ${quote(source)} ${quote(mount.target)}${mount.readOnly ? ' ro' : ''}`;
    }),
    `umount ${POD}`,
  ].join('\n');

const start = (room: ContainerRoom): string =>
  [`cd ${quote(room.workingDir)}`, `export PATH=${quote(room.path)}`, 'exec "$@"'].join('\n');

/**
 * `place SOURCE TARGET [ro]` binds SOURCE to TARGET. Where TARGET does not exist, its nearest folder is first covered by a private one
 * that holds links to everything that was there, so that an entry can be made without touching the machine's folder.
 */
const PLACE = `place() {
  if [ ! -e "$2" ]; then
    parent=\${2%/*}
    folder=\${parent:-/}
    while [ ! -d "$folder" ]; do folder=\${folder%/*}; folder=\${folder:-/}; done
    case "$folder" in
      /run | /run/* | /var/run | /var/run/*) ;;
      *) [ -d "$folder/.below" ] || cover "$folder" ;;
    esac
    mkdir -p "$parent"
    if [ -d "$1" ]; then mkdir "$2"; else : > "$2"; fi
  fi
  mount --bind "$1" "$2"
  [ "$3" != ro ] || mount -o remount,bind,ro "$2"
}
cover() {
  mkdir -p /run/.cover
  mount -t tmpfs -o mode=755 tmpfs /run/.cover
  mkdir /run/.cover/.below
  mount --rbind "$1" /run/.cover/.below
  for set in '.below/*' '.below/.[!.]*'; do
    (cd /run/.cover; set -- $set; [ ! -e "$1" -a ! -L "$1" ] || ln -s "$@" .)
  done
  mount --move /run/.cover "$1"
}`;

/** A word of shell text, whatever is in it. */
export const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
