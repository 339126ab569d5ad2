# SPDX-License-Identifier: GPL-2.0-or-later
# fish completion for holdfast(8) and holdfastd(8)

function __holdfast_verb
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case --pin-dir
                set -e words[1]
            case '-*'
            case '*'
                echo $words[1]
                return 0
        end
        set -e words[1]
    end
    return 1
end

function __holdfast_verb_is
    contains -- (__holdfast_verb) $argv
end

function __holdfast_columns
    set -l given (string replace -r '[^,+]*$' '' -- (commandline -ct))
    holdfast status --help 2>/dev/null |
        string replace -rf '^  ([A-Z][A-Z-]*) +(.*)' "$given\$1\t\$2"
end

# Names of the rules in force, or of the configuration's where those can't be read.
function __holdfast_rules
    set -l dir (string match -r -- '--pin-dir[ =]\K\S+' (commandline -pc))
    set -l found (holdfast --pin-dir=$dir status -J 2>/dev/null)
    test $status -le 1
    or set found (holdfast check -J 2>/dev/null)
    string replace -rf '^ *"name": "([A-Za-z0-9._-]*)",?$' '$1\trule' -- $found
end

# Behind `measure ... --` is a command of its own.
function __holdfast_behind
    set -l words (commandline -opc)
    set -l at (contains -i -- -- $words)
    or return
    set -e words[1..$at]
    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))
end

complete -c holdfast -f
complete -c holdfast -n 'not __holdfast_verb' -l pin-dir -x -a '(__fish_complete_directories)' -d 'Where the daemon keeps its kernel state'
complete -c holdfast -n 'not __holdfast_verb' -s V -l version -d 'Print the version'
complete -c holdfast -s h -l help -d 'Print a summary'
complete -c holdfast -n 'not __holdfast_verb' -a status -d 'Every socket that a rule matches'
complete -c holdfast -n 'not __holdfast_verb' -a check -d 'Read the configuration as the daemon would'
complete -c holdfast -n 'not __holdfast_verb' -a preview -d 'What a configuration would do'
complete -c holdfast -n 'not __holdfast_verb' -a explain -d 'Which rule a connection to there gets'
complete -c holdfast -n 'not __holdfast_verb' -a probe -d 'Probe every held socket now, say which answered'
complete -c holdfast -n 'not __holdfast_verb' -a reload -d 'Have the daemon reload, say how it went'
complete -c holdfast -n 'not __holdfast_verb' -a metrics -d 'Counters and gauges for Prometheus'
complete -c holdfast -n 'not __holdfast_verb' -a release -d 'Give everything back where the daemon is gone'
complete -c holdfast -n 'not __holdfast_verb' -a measure -d 'After how long the path to there forgets'
complete -c holdfast -n 'not __holdfast_verb' -a report -d 'What a bug report needs'

complete -c holdfast -n '__holdfast_verb_is status check preview explain probe measure' -s J -l json -d 'As JSON'
complete -c holdfast -n '__holdfast_verb_is status preview' -s o -l output -x -a '(__holdfast_columns)' -d 'These columns'
complete -c holdfast -n '__holdfast_verb_is status preview' -s n -l noheadings -d 'No heading'
complete -c holdfast -n '__holdfast_verb_is status preview' -s r -l raw -d 'Columns separated by one blank'
complete -c holdfast -n '__holdfast_verb_is status' -s d -l daemon -d 'Only whether the daemon does its work'
complete -c holdfast -n '__holdfast_verb_is probe' -s w -l wait -x -d 'Seconds to wait for answers'
complete -c holdfast -n '__holdfast_verb_is measure' -l from -x -d 'The shortest time to idle'
complete -c holdfast -n '__holdfast_verb_is measure' -l to -x -d 'The longest'
complete -c holdfast -n '__holdfast_verb_is measure' -l resolution -x -d 'How exact it is to be, in percent'
complete -c holdfast -n '__holdfast_verb_is measure' -l connections -x -d 'So many at a time'
complete -c holdfast -n '__holdfast_verb_is measure' -a '(__holdfast_behind)'
complete -c holdfast -n '__holdfast_verb_is preview explain' -l config -r -F -d 'The rules of this file'
complete -c holdfast -n '__holdfast_verb_is report' -s o -l output -r -F -d 'Write it to this file, too'
complete -c holdfast -n '__holdfast_verb_is report' -l plain -d 'Addresses and names as they are'
complete -c holdfast -n '__holdfast_verb_is check' -F
complete -c holdfast -n '__holdfast_verb_is status preview probe' -a '(__holdfast_rules)'
complete -c holdfast -n '__holdfast_verb_is status preview probe' -a 'held own probing exposed closed exempt' -d verdict

complete -c holdfastd -f
complete -c holdfastd -l config -r -F -d 'Read only this file'
complete -c holdfastd -l cgroup -x -a '(__fish_complete_directories)' -d 'Only sockets of this cgroup and below'
complete -c holdfastd -l pin-dir -x -a '(__fish_complete_directories)' -d 'Keep kernel state here'
complete -c holdfastd -l persist -d 'Leave everything attached when stopped'
complete -c holdfastd -l verbose -d 'Say more'
complete -c holdfastd -l version -d 'Print the version'
complete -c holdfastd -l help -d 'Print a summary'
