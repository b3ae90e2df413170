"""The query manager: propose, reserve, sign, dispatch, watch, deliver, clean up, rate."""
