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

# Of the rules in force, or where they can't be read of the configuration.
function __holdfast_rules
    set -l dir (string match -r -- '--pin-dir[ =]\K\S+' (commandline -pc))
    set -l found (holdfast --pin-dir=$dir status -J 2>/dev/null)
    test $status -le 1
    or set found (holdfast check -J 2>/dev/null)
    string replace -rf '^ *"name": "([A-Za-z0-9._-]*)",?$' '$1\trule' -- $found
end

complete -c holdfast -f
complete -c holdfast -n 'not __holdfast_verb' -l pin-dir -x -a '(__fish_complete_directories)' -d 'Where the daemon keeps its kernel state'
complete -c holdfast -n 'not __holdfast_verb' -s V -l version -d 'Print the version'
complete -c holdfast -s h -l help -d 'Print a summary'
complete -c holdfast -n 'not __holdfast_verb' -a status -d 'Every socket that a rule matches'
complete -c holdfast -n 'not __holdfast_verb' -a check -d 'Read the configuration as the daemon would'
complete -c holdfast -n 'not __holdfast_verb' -a explain -d 'Which rule a connection to there gets'
complete -c holdfast -n 'not __holdfast_verb' -a probe -d 'Probe every held socket now, say which answered'
complete -c holdfast -n 'not __holdfast_verb' -a reload -d 'Have the daemon reload, say how it went'
complete -c holdfast -n 'not __holdfast_verb' -a metrics -d 'Counters and gauges for Prometheus'
complete -c holdfast -n 'not __holdfast_verb' -a release -d 'Give everything back where the daemon is gone'

complete -c holdfast -n '__holdfast_verb_is status check explain probe' -s J -l json -d 'As JSON'
complete -c holdfast -n '__holdfast_verb_is status' -s o -l output -x -a '(__holdfast_columns)' -d 'These columns'
complete -c holdfast -n '__holdfast_verb_is status' -s n -l noheadings -d 'No heading'
complete -c holdfast -n '__holdfast_verb_is status' -s r -l raw -d 'Columns separated by one blank'
complete -c holdfast -n '__holdfast_verb_is probe' -s w -l wait -x -d 'Seconds to wait for answers'
complete -c holdfast -n '__holdfast_verb_is explain' -l config -r -F -d 'The rules of this file'
complete -c holdfast -n '__holdfast_verb_is check' -F
complete -c holdfast -n '__holdfast_verb_is status probe' -a '(__holdfast_rules)'
complete -c holdfast -n '__holdfast_verb_is status probe' -a 'held own probing exposed closed exempt' -d verdict

complete -c holdfastd -f
complete -c holdfastd -l config -r -F -d 'Read only this file'
complete -c holdfastd -l cgroup -x -a '(__fish_complete_directories)' -d 'Only sockets of this cgroup and below'
complete -c holdfastd -l pin-dir -x -a '(__fish_complete_directories)' -d 'Keep kernel state here'
complete -c holdfastd -l persist -d 'Leave everything attached when stopped'
complete -c holdfastd -l verbose -d 'Say more'
complete -c holdfastd -l version -d 'Print the version'
complete -c holdfastd -l help -d 'Print a summary'
