"""`python -m monitoring COMMAND`: from the service's records to Elasticsearch, dashboards and verdicts.

  setup     index templates, retention and dashboards into Elasticsearch and Kibana; again without harm
  load      records from files into Elasticsearch, exactly once; with --follow as they are written
  audit     how many records of each boot are stored, and which are missing
  find      one record by its id, and what was told about it
  forget    delete a room's records
  drift     verdicts on files of records, or on what Elasticsearch holds
  watch     the same, continuously
  verdicts  what watch has found, as the records that it left
  propose   the minutes whose truth would teach most
  collect   readings with their truth, as a file that training reads
  report    the dashboards as one HTML page that needs no server
  replay    send the rows of a data file to a running service, with faults on request

COMMAND --help lists its settings. Exit status: 0 done; 1 something was found (the command says what); 2 a setting or a
file is wrong; 130 ended by SIGINT or SIGTERM, where a command does not say otherwise.
"""

import os
import signal
import sys
from collections.abc import Mapping

from monitoring.settings import PROGRAM


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run one command; gives the exit status."""
    return PROGRAM.run(argv, environ, __doc__)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a command that ends in its own way has its own handler
    sys.exit(main(sys.argv[1:], os.environ))
