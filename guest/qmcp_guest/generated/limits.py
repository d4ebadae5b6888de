# Generated from dom0/spec/limits.toml by `npm run generate`.

# bytes of a request: to dom0, and to a service in a qube; and of a contract
REQUEST_BYTES = 65536
# bytes of one frame's payload
FRAME_BYTES = 65536
# bytes that a service takes ahead of a command that does not read
AHEAD_BYTES = 16777216
# bytes of a file, or of a command's output, that one call reads
PAGE_BYTES = 1048576
# the same, unless the call says
DEFAULT_PAGE_BYTES = 65536
# bytes that one call writes to a file
WRITE_BYTES = 67108864
# entries of a directory in one page
LIST_ENTRIES = 1000
# the same, unless the call says
DEFAULT_LIST_ENTRIES = 200
# seconds that a command may take
COMMAND_SECONDS = 3600
# the same, unless the call says
DEFAULT_COMMAND_SECONDS = 60
# the same of a copy to another qube
DEFAULT_COPY_SECONDS = 600
# the same of an installation of packages
DEFAULT_INSTALL_SECONDS = 900
# seconds for which a page of output is waited for
OUTPUT_WAIT_SECONDS = 60
# seconds between SIGTERM and SIGKILL
GRACE_SECONDS = 1
# bytes that are kept of each stream of a background command: the first
JOB_OUTPUT_BYTES = 8388608
# bytes of input of a background command
JOB_INPUT_BYTES = 1048576
# background commands that run at once in a qube
JOBS_RUNNING = 16
# background commands that have ended and are kept: the newest
JOBS_ENDED = 32
# bytes that those keep together
JOBS_ENDED_BYTES = 67108864
# packages that one call installs
PACKAGES = 50
# characters of a package's name
PACKAGE_NAME = 128
# characters of a path
PATH_CHARACTERS = 4096
# steps of a plan
PLAN_STEPS = 32
# approved commands that a qube remembers, so that none runs twice: the newest
APPROVED_MARKS = 1024
