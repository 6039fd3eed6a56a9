"""What the commands do, one a module; ``tickfan.cli`` says how they are called.

Each takes plain values, prints for a person or a pipe, and returns an exit
status: 0 well, 1 it did not work, 2 it was asked wrongly.
"""

OK, FAILED, WRONG = 0, 1, 2
