# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for holdfast(8) and holdfastd(8)

_holdfast_columns()
{
	holdfast status --help 2>/dev/null | sed -n '/^Columns:/,$s/^  \([A-Z][A-Z-]*\) .*/\1/p'
}

# Names of the rules in force, or of the configuration's where those can't be read.
_holdfast_rules()
{
	{ holdfast "$@" status -J || [[ $? == 1 ]] || holdfast check -J; } 2>/dev/null |
		sed -n 's/^ *"name": "\([A-Za-z0-9._-]*\)",\{0,1\}$/\1/p'
}

_holdfast_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_holdfast_files()
{
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
}

_holdfast()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local verdicts='held own probing exposed closed exempt'
	local verb='' last all i dir=() behind=0

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--pin-dir) [[ $((i + 1)) -lt $COMP_CWORD ]] && dir=(--pin-dir "${COMP_WORDS[++i]}") ;;
		-*) ;;
		*) verb=${COMP_WORDS[i]}; break ;;
		esac
	done
	# Behind `measure ... --` is a command of its own.
	for ((i++; i < COMP_CWORD; i++)); do
		[[ $verb == measure && ${COMP_WORDS[i]} == -- && $behind == 0 ]] && behind=$((i + 1))
	done
	if ((behind)); then
		if declare -F _command_offset >/dev/null; then
			_command_offset "$behind"
		elif ((COMP_CWORD == behind)); then
			mapfile -t COMPREPLY < <(compgen -c -- "$cur")
		else
			_holdfast_files -f
		fi
		return
	fi

	case $verb:$prev in
	:--pin-dir)
		_holdfast_files -d
		return ;;
	status:-o | status:--output | preview:-o | preview:--output)
		last=${cur##*[,+]}
		all=$(_holdfast_columns)
		mapfile -t COMPREPLY < <(compgen -P "${cur%"$last"}" -W "$all" -- "${last^^}")
		compopt -o nospace 2>/dev/null
		return ;;
	explain:--config | preview:--config | report:-o | report:--output)
		_holdfast_files -f
		return ;;
	probe:-w | probe:--wait | measure:--from | measure:--to | measure:--resolution | measure:--connections)
		return ;;
	esac

	case $verb:$cur in
	:-*) _holdfast_words '--pin-dir --help --version -h -V' ;;
	:*) _holdfast_words 'status check preview explain probe reload metrics release measure report' ;;
	status:-*) _holdfast_words '-J --json -o --output -n --noheadings -r --raw -d --daemon -h --help' ;;
	preview:-*) _holdfast_words '--config -J --json -o --output -n --noheadings -r --raw -h --help' ;;
	probe:-*) _holdfast_words '-J --json -w --wait -h --help' ;;
	status:* | preview:* | probe:*) _holdfast_words "$(_holdfast_rules "${dir[@]}") $verdicts" ;;
	check:-*) _holdfast_words '-J --json -h --help' ;;
	check:*) _holdfast_files -f ;;
	measure:-*) _holdfast_words '--from --to --resolution --connections -J --json -h --help' ;;
	report:-*) _holdfast_words '-o --output --plain -h --help' ;;
	explain:-*) _holdfast_words '--config -J --json -h --help' ;;
	reload:-* | metrics:-* | release:-*) _holdfast_words '-h --help' ;;
	esac
}

_holdfastd()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}

	COMPREPLY=()
	case $prev in
	--config) _holdfast_files -f ;;
	--cgroup | --pin-dir) _holdfast_files -d ;;
	*) _holdfast_words '--config --cgroup --pin-dir --persist --verbose --version --help' ;;
	esac
}

complete -F _holdfast holdfast
complete -F _holdfastd holdfastd
