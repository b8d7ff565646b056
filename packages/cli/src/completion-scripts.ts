/** What may be typed: verbs, what follows each of them, and its flags. */
export interface Words {
  readonly verbs: readonly string[];
  readonly next: ReadonlyMap<string, readonly string[]>;
  readonly flags: ReadonlyMap<string, readonly string[]>;
}

/** A script for bash (and zsh's bashcompinit). Names of objects and namespaces are asked of the mesh that runs. */
export function bashScript({ verbs, next, flags }: Words): string {
  return `_ambit_names() {
  ambit get "$@" -o name 2>/dev/null | sed 's|.*/||'
}
_ambit_pods() {
  ambit get deployments "$@" -o name 2>/dev/null | sed 's|^deployment/|deploy/|'
  ambit get pods "$@" -o name 2>/dev/null
}
_ambit() {
  local words="" verb="" kind="" cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" i place=0
  local -a in=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in
      --) return ;;
      -n|--namespace) in=(-n "\${COMP_WORDS[i+1]}"); ((i++)) ;;
      -o|--output|-l|--selector|-f|--filename|-c|--container|--state|--name|--tail) ((i++)) ;;
      -*) ;;
      *) ((place++)); if [ -z "$verb" ]; then verb="\${COMP_WORDS[i]}"; elif [ -z "$kind" ]; then kind="\${COMP_WORDS[i]}"; fi ;;
    esac
  done
  case "$prev" in
    -n|--namespace) COMPREPLY=($(compgen -W "$(_ambit_names namespaces)" -- "$cur")); return ;;
    -o|--output) COMPREPLY=($(compgen -W "json yaml name wide" -- "$cur")); return ;;
    -f|--filename|--state) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  if [ "$place" -eq 0 ]; then words="${verbs.join(' ')}"
  elif [ "\${cur#-}" != "$cur" ]; then
    case "$verb" in
${cases(flags)}
    esac
  elif [ "$place" -eq 1 ]; then
    case "$verb" in
${cases(next)}
      exec|logs) words="$(_ambit_pods "\${in[@]}")" ;;
      up) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    esac
  elif [ "$place" -ge 2 ]; then
    case "$verb" in
      get|delete|label) words="$(_ambit_names "$kind" "\${in[@]}")" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _ambit ambit`;
}

/** A script for fish: verbs, what follows them, flags. */
export function fishScript({ verbs, next, flags }: Words): string {
  return [
    `complete -c ambit -f -n __fish_use_subcommand -a "${verbs.join(' ')}"`,
    ...[...next].map(([verb, words]) => `${after(verb)} -a "${words.join(' ')}"`),
    ...[...flags].flatMap(([verb, names]) => names.map((name) => `${after(verb)} -l ${name.slice(2)}`)),
  ].join('\n');
}

const after = (verb: string): string => `complete -c ambit -f -n "__fish_seen_subcommand_from ${verb}"`;

const cases = (table: ReadonlyMap<string, readonly string[]>): string =>
  [...table].map(([verb, words]) => `      ${verb}) words="${words.join(' ')}" ;;`).join('\n');
